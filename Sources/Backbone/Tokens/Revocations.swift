import MeshWire

/// Which tokens no longer count, though they haven't expired.
public struct Revocations: Hashable, Sendable {
  /// The most entries of each kind that a backbone keeps.
  public static let maximumCount = 100_000

  /// Single tokens, by `jti`.
  var tokens: Set<String> = []
  /// Peers, each with the time before which its tokens were issued in vain.
  var peers: [KeyHash: WallTime] = [:]

  func revoke(_ session: Session) -> Bool {
    tokens.contains(session.tokenID) || peers[session.peer].map { session.issued < $0 } ?? false
  }
}
