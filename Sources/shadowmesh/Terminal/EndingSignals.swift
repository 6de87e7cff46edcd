import Glibc
import Synchronization

/// Puts off the signals that end a program from a terminal while something there has to be put back first.
/// One caller at a time.
enum EndingSignals {
  private static let all = [SIGHUP, SIGINT, SIGQUIT, SIGTERM]
  /// The signal that came, and the end of a pipe that its handler writes to: no more is allowed there
  /// (signal-safety(7)).
  private static let arrived = Atomic<Int32>(0)
  private static let alarm = Atomic<Int32>(-1)
  private static let bell = Atomic<Int32>(-1)

  /// From here on they are only noted.
  static func begin() {
    var ends: [Int32] = [-1, -1]
    guard unsafe pipe(&ends) == 0 else { return }
    arrived.store(0, ordering: .relaxed)
    bell.store(ends[0], ordering: .relaxed)
    alarm.store(ends[1], ordering: .sequentiallyConsistent)
    for number in all {
      _ = signal(number) { number in
        EndingSignals.arrived.store(number, ordering: .relaxed)
        _ = unsafe write(EndingSignals.alarm.load(ordering: .relaxed), "!", 1)
      }
    }
  }

  /// Waits for a line at standard input, in a terminal, or for a signal; `false` then.
  static func waitForInput() -> Bool {
    var sources = [0, bell.load(ordering: .relaxed)].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    while unsafe poll(&sources, 2, -1) < 0, errno == EINTR, arrived.load(ordering: .relaxed) == 0 {}
    return arrived.load(ordering: .relaxed) == 0
  }

  /// The one that came has its usual effect now.
  static func end() {
    for number in all { _ = signal(number, SIG_DFL) }
    for descriptor in [
      alarm.exchange(-1, ordering: .relaxed), bell.exchange(-1, ordering: .relaxed),
    ] where descriptor >= 0 { close(descriptor) }
    let number = arrived.load(ordering: .relaxed)
    if number != 0 { raise(number) }
  }
}
