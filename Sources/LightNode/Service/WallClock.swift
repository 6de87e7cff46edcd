import Foundation
import MeshWire

/// The machine's wall clock.
enum WallClock {
  static var now: WallTime { WallTime(secondsSinceEpoch: UInt64(max(0, Date().timeIntervalSince1970))) }
}

extension Duration {
  /// Seconds with their fraction.
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
  var milliseconds: Double { seconds * 1_000 }
}
