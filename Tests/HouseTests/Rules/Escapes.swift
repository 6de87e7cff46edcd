import Foundation

/// A way around the compiler's checks gives its reason, on its line or on the line above: `// why: …`.
enum Escapes {
  static let marker = "// why:"

  static func violations(in file: SourceFile) -> [Violation] {
    let lines = file.lines
    return file.codeLines.enumerated().compactMap { index, line in
      guard let escape = escape(in: line) else { return nil }
      let above = index > 0 ? lines[index - 1] : ""
      guard !lines[index].contains(marker), !above.contains(marker) else { return nil }
      return Violation(path: file.path, line: index + 1, reason: "\(escape) without `\(marker)`")
    }
  }

  private static func escape(in line: String) -> String? {
    let spelled = [
      "try!", "as!", "fatalError(", "@unchecked Sendable", "nonisolated(unsafe)", "Task.detached",
    ]
    if let found = spelled.first(where: { contains($0, asWordsIn: line) }) { return found }
    guard line.contains("Task") else { return nil }
    let task = #/(?:^|[^.\w])Task(?:\(priority:[^)]*\))?\s*\{/#
    return line.contains(task) ? "a loose Task" : nil
  }

  private static func contains(_ spelling: String, asWordsIn line: String) -> Bool {
    guard let range = line.range(of: spelling) else { return false }
    guard range.lowerBound > line.startIndex else { return true }
    let before = line[line.index(before: range.lowerBound)]
    return !(before.isLetter || before.isNumber || before == "_")
  }
}
