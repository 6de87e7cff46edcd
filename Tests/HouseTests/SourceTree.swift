import Foundation

/// One file of the repository, read once.
struct SourceFile {
  /// Relative to the repository, with `/` between its parts.
  let path: String
  let text: String
  let lines: [Substring]
  /// The lines with comments and the contents of string literals taken out, so that rules read code only.
  let codeLines: [String]

  init(path: String, text: String) {
    self.path = path
    self.text = text
    lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    codeLines = path.hasSuffix(".swift") ? Self.code(in: lines) : []
  }

  /// The target it belongs to: the folder under `Sources` or `Tests`.
  var target: String? {
    let parts = path.split(separator: "/")
    guard parts.count > 2, parts[0] == "Sources" || parts[0] == "Tests" else { return nil }
    return String(parts[1])
  }

  private static func code(in lines: [Substring]) -> [String] {
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
    guard line.utf8.contains(where: { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\"") }) else {
      return String(line)
    }
    if line.drop(while: { $0 == " " }).hasPrefix("//") { return "" }
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

  let sources: [SourceFile]
  let tests: [SourceFile]
  let apart: [SourceFile]

  /// Reads everything once.
  static let repository = SourceTree(
    root: URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent())

  init(root: URL) {
    self.root = root
    sources = Self.files("swift", under: ["Sources"], of: root)
    tests = Self.files("swift", under: ["Tests"], of: root)
    apart = Self.files("swift", under: ["Fuzz", "Benchmarks"], of: root)
  }

  /// Files with that extension under the folders named, sorted by path. Build products are left out.
  private static func files(
    _ fileExtension: String, under folders: [String], of root: URL
  ) -> [SourceFile] {
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

  var allSwift: [SourceFile] { sources + tests + apart }
  var documents: [SourceFile] { Self.files("md", under: ["."], of: root) }

  func exists(_ path: String) -> Bool {
    FileManager.default.fileExists(atPath: root.appendingPathComponent(path).standardized.path)
  }

  func text(_ path: String) -> String? {
    try? String(contentsOf: root.appendingPathComponent(path).standardized, encoding: .utf8)
  }
}
