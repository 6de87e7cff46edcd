import MeshWire

/// When the shell is told that there are too few relays to choose from. Where there are no more, asking
/// changes nothing: the pauses grow.
struct RelayShortage {
  static let firstPause = Duration.seconds(60)
  /// As often as the shell asks by itself.
  static let longestPause = Duration.seconds(600)

  private var next: Instant?
  private var pause = Self.firstPause

  /// Too few were found just now. Returns whether that is to be told.
  mutating func found(now: Instant) -> Bool {
    guard let next else { return tell(after: Self.firstPause, now: now) }
    guard next <= now else { return false }
    // Long enough ago to be another shortage.
    let isAnother = now - next >= Self.longestPause
    return tell(after: isAnother ? Self.firstPause : min(pause * 2, Self.longestPause), now: now)
  }

  private mutating func tell(after pause: Duration, now: Instant) -> Bool {
    self.pause = pause
    next = now + pause
    return true
  }
}
