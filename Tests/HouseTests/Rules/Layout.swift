import Foundation

/// Sizes and names.
enum Layout {
  static let longestFile = 500
  static let longestLine = 110
  static let emptyNames = ["Manager", "Helper", "Util", "Common"]
  /// Built from halves, so that this file does not contain what it forbids.
  static let leftovers = ["TO" + "DO", "FIX" + "ME"]

  static func violations(in file: SourceFile) -> [Violation] {
    sizes(of: file) + names(in: file) + unfinished(in: file)
  }

  private static func sizes(of file: SourceFile) -> [Violation] {
    var found: [Violation] = []
    if file.lines.count > longestFile + 1 {
      found.append(
        Violation(
          path: file.path, line: longestFile, reason: "more than \(longestFile) lines: one subject a file"))
    }
    for (index, line) in file.lines.enumerated()
    where line.utf8.count > longestLine && line.count > longestLine {
      found.append(Violation(path: file.path, line: index + 1, reason: "longer than \(longestLine) columns"))
    }
    return found
  }

  private static func names(in file: SourceFile) -> [Violation] {
    var found: [Violation] = []
    let fileName = file.path.split(separator: "/").last.map(String.init) ?? file.path
    if let empty = emptyNames.first(where: { fileName.contains($0) }) {
      found.append(Violation(path: file.path, line: 1, reason: "“\(empty)” in a name says nothing"))
    }
    let introducers: Set<Substring> = ["struct", "class", "enum", "protocol", "actor", "typealias"]
    for (index, line) in file.codeLines.enumerated() where emptyNames.contains(where: line.contains) {
      let words = line.split { !($0.isLetter || $0.isNumber || $0 == "_") }
      for (word, name) in zip(words, words.dropFirst()) where introducers.contains(word) {
        if let empty = emptyNames.first(where: { name.contains($0) }) {
          found.append(
            Violation(path: file.path, line: index + 1, reason: "“\(empty)” in a name says nothing"))
        }
      }
    }
    return found
  }

  private static func unfinished(in file: SourceFile) -> [Violation] {
    file.lines.enumerated().flatMap { index, line in
      leftovers.filter { line.contains($0) }
        .map { Violation(path: file.path, line: index + 1, reason: "\($0): finish it, or file an issue") }
    }
  }
}
