/// How long to leave a backbone alone that did not answer: 1 s × 2 each time, at most 5 min, half of it
/// random, so that a thousand nodes don't come back in the same second.
struct RetryPause: Hashable, Sendable {
  static let first: Duration = .seconds(1)
  static let longest: Duration = .seconds(300)

  private(set) var attempts = 0

  mutating func reset() { attempts = 0 }

  /// The next pause. `random` is in 0..<1; `atLeast` is what the backbone asked for.
  mutating func next(random: Double, atLeast: Duration = .zero) -> Duration {
    let exponent = min(attempts, 9)
    attempts += 1
    let whole = min(Self.first * (1 << exponent), Self.longest)
    return max(whole / 2 + whole / 2 * random, atLeast)
  }
}
