/// What other targets can call says what it does. Stored properties, plain initialisers, operators and what a
/// protocol from elsewhere prescribes may speak for themselves; a comment above a block of one-line
/// declarations is for all of them.
enum Documentation {
  private static let prescribed: Set<Substring> = [
    "hash", "encode", "makeIterator", "next", "run", "validate",
  ]

  static func violations(in file: SourceFile) -> [Violation] {
    let lines = file.lines
    let keywords = "struct|class|enum|protocol|actor|typealias|func"
    guard
      let declaration = try? Regex<(Substring, Substring)>(
        #"^\s*(?:@\S+\s+)*(?:public|package)\s(?:[\w()]+\s)*?(?:\#(keywords))\s+(\w+)"#)
    else { return [Violation(path: file.path, line: 1, reason: "the rule's own expression is wrong")] }
    var inConformance = false
    return file.codeLines.enumerated().compactMap { index, line in
      if line.hasPrefix("extension ") { inConformance = line.contains(":") }
      if line.hasPrefix("}") { inConformance = false }
      guard line.contains("public ") || line.contains("package ") else { return nil }
      guard let match = line.prefixMatch(of: declaration), !prescribed.contains(match.1),
        !inConformance, !line.contains("override "), !hasComment(above: index, in: lines)
      else { return nil }
      return Violation(path: file.path, line: index + 1, reason: "\(match.1) has no documentation")
    }
  }

  private static func hasComment(above index: Int, in lines: [Substring]) -> Bool {
    for line in lines[..<index].reversed() {
      let code = line.drop { $0 == " " }
      if code.hasPrefix("///") { return true }
      let isOneLiner = (code.hasPrefix("public ") || code.hasPrefix("package ")) && code.hasSuffix("}")
      guard isOneLiner || code.hasPrefix("@") || code.hasPrefix("#if") else { return false }
    }
    return false
  }
}
