import CLinux
public import MeshWire

/// The machine's clocks, as the cores' types.
public enum HostClock {
  /// CLOCK_BOOTTIME: monotonic, and counts while the machine sleeps.
  static var now: Instant { Instant(nanoseconds: clinux_boottime()) }

  /// CLOCK_REALTIME.
  public static var wall: WallTime { WallTime(secondsSinceEpoch: clinux_wall_seconds()) }

  /// 32 bytes of the system's randomness (getrandom(2)).
  static func randomSeed() -> [UInt8] {
    var source = SystemRandomNumberGenerator()
    return (0..<32).map { _ in UInt8.random(in: .min ... .max, using: &source) }
  }
}
