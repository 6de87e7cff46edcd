import Foundation

/// What a core does without: everything it knows comes in as an argument, so that a test, a fuzzer or a
/// simulator can drive it.
enum Purity {
  static let forbidden = [
    "async", "await", "Task", "actor", "Mutex", "DispatchQueue", "ContinuousClock", "SuspendingClock",
    "SystemRandomNumberGenerator", "FileManager", "ProcessInfo", "print",
  ]

  static func violations(in file: SourceFile) -> [Violation] {
    guard let target = file.target, ImportArrows.pure[target] != nil, file.path.hasPrefix("Sources/") else {
      return []
    }
    return file.codeLines.enumerated().flatMap { index, line -> [Violation] in
      guard !line.isEmpty else { return [] }
      let words = Set(line.split { !($0.isLetter || $0.isNumber || $0 == "_") }.map(String.init))
      var found = forbidden.filter(words.contains)
      if line.contains(".random(in:") || line.contains(".shuffle") { found.append("randomness") }
      return found.map {
        Violation(path: file.path, line: index + 1, reason: "\($0) does not belong in a core")
      }
    }
  }
}
