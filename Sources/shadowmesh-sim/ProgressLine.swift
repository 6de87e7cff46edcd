import Foundation
import Synchronization

/// A line on standard error that says how far things are: overwritten on a terminal, and every ten seconds a
/// new one otherwise.
final class ProgressLine: Sendable {
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private let begin = ContinuousClock.now
  private let last = Mutex<ContinuousClock.Instant?>(nil)

  func show(_ text: String) {
    let now = ContinuousClock.now
    let pause: Duration = isTerminal ? .milliseconds(200) : .seconds(10)
    let isDue = last.withLock { last in
      if let last, now - last < pause { return false }
      last = now
      return true
    }
    guard isDue else { return }
    let seconds = (now - begin).components.seconds
    write("\(isTerminal ? "\r\u{1b}[K" : "")\(text) (\(seconds) s)\(isTerminal ? "" : "\n")")
  }

  /// Takes the line away again.
  func clear() { if isTerminal { write("\r\u{1b}[K") } }

  private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}
