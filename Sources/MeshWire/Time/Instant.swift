/// A moment on a monotonic clock that the shell (or the simulator) reads and passes in. Only differences mean
/// anything.
public struct Instant: Hashable, Sendable, Comparable {
  /// Since an origin of the clock's own choosing; counts through suspend where the shell's clock does.
  public let nanoseconds: UInt64

  public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

  public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }

  /// Saturates at both ends of the clock.
  public static func + (instant: Instant, duration: Duration) -> Instant {
    let nanoseconds = duration.wholeNanoseconds
    let (sum, overflow) =
      nanoseconds >= 0
      ? instant.nanoseconds.addingReportingOverflow(nanoseconds.magnitude)
      : instant.nanoseconds.subtractingReportingOverflow(nanoseconds.magnitude)
    return Instant(nanoseconds: overflow ? (nanoseconds >= 0 ? .max : 0) : sum)
  }

  public static func - (a: Instant, b: Instant) -> Duration {
    a >= b
      ? .nanoseconds(Int64(clamping: a.nanoseconds - b.nanoseconds))
      : .nanoseconds(-Int64(clamping: b.nanoseconds - a.nanoseconds))
  }
}

extension Duration {
  /// Whole nanoseconds, saturating at ±292 years.
  public var wholeNanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    if overflow { return seconds < 0 ? .min : .max }
    let (sum, carry) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
    return carry ? (seconds < 0 ? .min : .max) : sum
  }
}

/// Seconds since 1970-01-01T00:00:00Z, as records and logins carry it. Never used to order local events.
public struct WallTime: Hashable, Sendable, Comparable {
  public let secondsSinceEpoch: UInt64

  public init(secondsSinceEpoch: UInt64) { self.secondsSinceEpoch = secondsSinceEpoch }

  public static func < (a: WallTime, b: WallTime) -> Bool { a.secondsSinceEpoch < b.secondsSinceEpoch }

  /// Saturates at both ends.
  public static func + (time: WallTime, duration: Duration) -> WallTime {
    let seconds = duration.components.seconds
    let (sum, overflow) =
      seconds >= 0
      ? time.secondsSinceEpoch.addingReportingOverflow(seconds.magnitude)
      : time.secondsSinceEpoch.subtractingReportingOverflow(seconds.magnitude)
    return WallTime(secondsSinceEpoch: overflow ? (seconds >= 0 ? .max : 0) : sum)
  }

  /// The time from `b` to `a`, negative when `a` is the earlier.
  public static func - (a: WallTime, b: WallTime) -> Duration {
    a >= b
      ? .seconds(Int64(clamping: a.secondsSinceEpoch - b.secondsSinceEpoch))
      : .seconds(-Int64(clamping: b.secondsSinceEpoch - a.secondsSinceEpoch))
  }
}
