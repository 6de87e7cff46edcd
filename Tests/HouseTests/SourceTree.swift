import Foundation

/// One file of the repository, read once.
struct SourceFile {
  /// Relative to the repository, with `/` between its parts.
  let path: String
  let text: String

  var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }

  /// The target it belongs to: the folder under `Sources` or `Tests`.
  var target: String? {
    let parts = path.split(separator: "/")
    guard parts.count > 2, parts[0] == "Sources" || parts[0] == "Tests" else { return nil }
    return String(parts[1])
  }

  /// Its lines with comments and the contents of string literals taken out, so that rules read code only.
  var codeLines: [String] {
    var inBlock = false
    return lines.map { line in
      let trimmed = line.drop { $0 == " " }
      if inBlock || trimmed.hasPrefix("\"\"\"") || line.hasSuffix("\"\"\"") {
        if line.contains("\"\"\"") { inBlock.toggle() }
        return ""
      }
      return Self.withoutCommentsAndStrings(line)
    }
  }

  private static func withoutCommentsAndStrings(_ line: Substring) -> String {
    var code = ""
    var inString = false
    var escaped = false
    var previous: Character = " "
    for character in line {
      if inString {
        if escaped {
          escaped = false
        } else if character == "\\" {
          escaped = true
        } else if character == "\"" {
          inString = false
          code.append(character)
        }
      } else if character == "/" && previous == "/" {
        code.removeLast()
        break
      } else {
        inString = character == "\""
        code.append(character)
      }
      previous = character
    }
    return code
  }
}

/// What a rule has found: where, and what to do about it.
struct Violation: Hashable, CustomStringConvertible {
  let path: String
  let line: Int
  let reason: String

  var description: String { "\(path):\(line): \(reason)" }
}

/// The files of the repository that rules read.
struct SourceTree {
  let root: URL

  static let repository = SourceTree(
    root: URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent())

  /// Files with that extension under the folders named, sorted by path. Build products are left out.
  func files(_ fileExtension: String, under folders: [String]) -> [SourceFile] {
    folders.flatMap { folder -> [SourceFile] in
      let base = root.appendingPathComponent(folder)
      guard let walk = FileManager.default.enumerator(atPath: base.path) else { return [] }
      return walk.compactMap { $0 as? String }
        .filter {
          $0.hasSuffix("." + fileExtension) && !$0.split(separator: "/").contains { $0.hasPrefix(".") }
        }
        .sorted()
        .compactMap { name in
          let url = base.appendingPathComponent(name)
          guard let text = try? String(contentsOf: url, encoding: .utf8) else { return nil }
          return SourceFile(path: folder == "." ? name : "\(folder)/\(name)", text: text)
        }
    }
  }

  var sources: [SourceFile] { files("swift", under: ["Sources"]) }
  var tests: [SourceFile] { files("swift", under: ["Tests"]) }
  var allSwift: [SourceFile] {
    files("swift", under: ["Sources", "Tests", "Fuzz", "Benchmarks"])
  }
  var documents: [SourceFile] { files("md", under: ["."]) }

  func exists(_ path: String) -> Bool {
    FileManager.default.fileExists(atPath: root.appendingPathComponent(path).standardized.path)
  }

  func text(_ path: String) -> String? {
    try? String(contentsOf: root.appendingPathComponent(path).standardized, encoding: .utf8)
  }
}
