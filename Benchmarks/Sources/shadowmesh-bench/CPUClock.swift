import Glibc

/// The processor time of this process, all threads. Wall time would count the neighbours.
enum CPUClock {
  static func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  /// Mean processor time of `body` in microseconds, over `count` runs after a tenth as many to warm up.
  static func mean(_ count: Int, _ body: () throws -> Void) rethrows -> Double {
    for _ in 0..<max(1, count / 10) { try body() }
    let begin = nanoseconds()
    for _ in 0..<count { try body() }
    return Double(nanoseconds() - begin) / Double(count) / 1_000
  }
}
