import Foundation

/// Links in documents lead to files; a link whose text is code and that leads into a source file names
/// something that is in that file. So the threat model cannot claim a test that is gone.
enum Links {
  static func violations(in file: SourceFile, of tree: SourceTree) -> [Violation] {
    let folder = file.path.split(separator: "/").dropLast().joined(separator: "/")
    return file.lines.enumerated().flatMap { index, line -> [Violation] in
      guard line.contains("](") else { return [] }
      return line.matches(of: #/\[([^\]]*)\]\(([^)\s]+)\)/#).compactMap { match -> Violation? in
        let target = String(match.2.split(separator: "#", omittingEmptySubsequences: false)[0])
        guard !target.isEmpty, !target.contains(":") else { return nil }
        let path = target.hasPrefix("/") ? String(target.dropFirst()) : "\(folder)/\(target)"
        guard tree.exists(path) else {
          return Violation(path: file.path, line: index + 1, reason: "\(target) does not exist")
        }
        let text = match.1
        guard target.hasSuffix(".swift") || target.hasSuffix(".py"), text.hasPrefix("`"), text.hasSuffix("`")
        else { return nil }
        let name = text.dropFirst().dropLast()
        guard tree.text(path)?.contains(name) != true else { return nil }
        return Violation(path: file.path, line: index + 1, reason: "\(target) has no “\(name)”")
      }
    }
  }
}
