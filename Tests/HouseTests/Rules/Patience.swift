import Foundation

/// A test that sleeps is slow when it passes and flaky when it fails: cores take their clock as an argument.
enum Patience {
  static let sleeps = ["Task.sleep", "Thread.sleep", "usleep(", "nanosleep(", ".sleep(for", " sleep("]
  static let evasions = [".disabled(", ".disabled,", "withKnownIssue"]

  static func violations(in file: SourceFile) -> [Violation] {
    file.codeLines.enumerated().flatMap { index, line in
      sleeps.filter { line.contains($0) }
        .map { Violation(path: file.path, line: index + 1, reason: "a test may not sleep (\($0))") }
        + evasions.filter { line.contains($0) }
        .map { Violation(path: file.path, line: index + 1, reason: "a test runs, or goes (\($0))") }
    }
  }
}
