import Foundation
public import MeshWire

/// The clocks that a backbone reads, so that tests can pass their own.
public struct BackboneClock: Sendable {
  /// For expiries and signatures.
  public let wall: @Sendable () -> WallTime
  /// For rates.
  public let monotonic: @Sendable () -> MeshWire.Instant

  public init(
    wall: @escaping @Sendable () -> WallTime, monotonic: @escaping @Sendable () -> MeshWire.Instant
  ) {
    self.wall = wall
    self.monotonic = monotonic
  }

  private static let start = ContinuousClock.now

  /// The machine's own.
  public static let system = BackboneClock(
    wall: { WallTime(secondsSinceEpoch: UInt64(clamping: Int(Date().timeIntervalSince1970))) },
    monotonic: {
      MeshWire.Instant(nanoseconds: UInt64(clamping: (ContinuousClock.now - start).wholeNanoseconds))
    })
}
