import MeshWire

/// A host's own clock: some parts in a million fast or slow, and at a wall time that may be wrong.
public struct HostClock: Sendable, Hashable {
  /// Parts in a million that it runs fast; real crystals stay within ±200.
  public var drift: Int64
  /// How far the wall clock is ahead.
  public var wallError: Duration

  public init(drift: Int64 = 0, wallError: Duration = .zero) {
    self.drift = drift
    self.wallError = wallError
  }

  /// What the host reads when it is `now` in the world.
  func reading(_ now: Instant) -> Instant {
    now + .nanoseconds(Int64(clamping: now.nanoseconds / 1_000_000) * drift)
  }

  /// A moment in the world when the host reads at least `local`, and hardly more.
  func worldTime(_ local: Instant) -> Instant {
    var guess = local + .nanoseconds(Int64(clamping: local.nanoseconds / 1_000_000) * -drift)
    while reading(guess) < local { guess = guess + .microseconds(50) }
    return guess
  }
}
