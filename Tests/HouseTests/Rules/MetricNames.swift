/// Every metric that the programs make is explained in `docs/metrics.md`, and every one that is explained
/// there is made.
enum MetricNames {
  static let document = "docs/metrics.md"

  static func violations(in sources: [SourceFile], explained text: String) -> [Violation] {
    let made = sources.flatMap(names)
    let explained = Set(text.matches(of: #/shadowmesh_[a-z_]+/#).map { base($0.output) })
    let missing = made.filter { !explained.contains($0.name) }.map {
      Violation(path: $0.path, line: $0.line, reason: "\($0.name) is not in \(document)")
    }
    let stale = explained.subtracting(made.map(\.name)).sorted().map {
      Violation(path: document, line: 1, reason: "nothing makes \($0)")
    }
    return missing + stale
  }

  private static func base(_ name: Substring) -> String {
    name.hasSuffix("_total") ? String(name.dropLast("_total".count)) : String(name)
  }

  /// The names in one file, as Prometheus shows them without the ending of counters.
  private static func names(in file: SourceFile) -> [(path: String, line: Int, name: String)] {
    guard file.lines.contains(where: { $0.hasSuffix("import Metrics") }) else { return [] }
    let prefix = file.path.contains("/Backbone/") ? "shadowmesh_backbone_" : "shadowmesh_"
    return file.lines.enumerated().flatMap { index, line -> [(path: String, line: Int, name: String)] in
      guard !line.contains("Logger(") else { return [] }
      let whole = line.matches(of: #/"shadowmesh[._]([a-z_]+)"/#).map { "shadowmesh_" + $0.1 }
      let short = line.matches(of: #/counter\("([a-z_]+)"/#).map { prefix + $0.1 }
      return (whole + short).map { (file.path, index + 1, $0) }
    }
  }
}
