extension Session {
  /// Whether this session stays in use when `newer`, with the same peer, has just been established: both ends
  /// began, and this one's M1 has the lower hash (SMH1.md §11).
  ///
  /// Both ends come to the same answer, whatever was lost and however late it came. An end that began `newer`
  /// itself would have ended that handshake, if it were to lose; so it is one that is to win, or was begun
  /// because this session was not good enough. An end that did not begin it looks at what it knows of this
  /// one: the peer sends M3 of a handshake that was under way at both ends only if we had its M1 before the
  /// peer confirmed ours.
  public func stays(beside newer: Session) -> Bool {
    guard role == .initiator, newer.role == .responder else { return false }
    if let confirmedAt, confirmedAt <= newer.begun { return false }
    return handshakeHash.lexicographicallyPrecedes(newer.handshakeHash)
  }
}
