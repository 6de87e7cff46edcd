import Foundation

/// A link in a comment names something that is declared somewhere: a rename that forgot the comment shows.
enum DocumentationLinks {
  static func violations(in files: [SourceFile]) -> [Violation] {
    let declared = files.reduce(into: Set(["init"])) { $0.formUnion(declarations(in: $1)) }
    return files.flatMap { file in
      file.lines.enumerated().flatMap { index, line -> [Violation] in
        guard line.contains("``"), line.drop(while: { $0 == " " }).hasPrefix("///") else { return [] }
        let names = line.matches(of: #/``([^`]+)``/#).flatMap { match in
          match.1.split(separator: "/").map { name in name.prefix { $0 != "(" } }
        }
        return names.filter { !declared.contains($0) }
          .map { Violation(path: file.path, line: index + 1, reason: "nothing is named “\($0)”") }
      }
    }
  }

  private static func declarations(in file: SourceFile) -> [Substring] {
    let keywords: Set<Substring> = [
      "struct", "class", "enum", "protocol", "actor", "typealias", "associatedtype", "func", "var", "let",
    ]
    return file.codeLines.flatMap { line -> [Substring] in
      let words = Substring(line).split { !($0.isLetter || $0.isNumber || $0 == "_") }
      // A line of cases may have several, with what belongs to each: every word of it counts as declared.
      if words.first == "case" || words.prefix(2) == ["indirect", "case"] { return words }
      return zip(words, words.dropFirst()).filter { keywords.contains($0.0) }.map(\.1)
    }
  }
}
