/// Spelling of the Prometheus text format, version 0.0.4.
enum PrometheusText {
  /// A metric name: `[a-zA-Z_:][a-zA-Z0-9_:]*`, ending in `suffix` (not twice).
  static func name(_ label: String, suffix: String = "") -> String {
    var name = String(label.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == ":") ? $0 : "_" })
    if name.first.map({ $0.isNumber }) ?? true { name = "_" + name }
    return name.hasSuffix(suffix) ? name : name + suffix
  }

  /// `a="1",b="2"` in order of name, without braces; empty for no labels. Values are cut at 128 characters.
  static func labels(_ dimensions: [(String, String)]) -> String {
    dimensions.sorted { $0.0 < $1.0 }
      .map { dimension in
        let label = name(dimension.0).replacing(":", with: "_")
        return "\(label)=\"\(escaped(String(dimension.1.prefix(128))))\""
      }
      .joined(separator: ",")
  }

  /// `name{labels,extra} value`.
  static func line(_ name: String, _ labels: String, extra: String = "", _ value: String) -> String {
    let all = [labels, extra].filter { !$0.isEmpty }.joined(separator: ",")
    return all.isEmpty ? "\(name) \(value)\n" : "\(name){\(all)} \(value)\n"
  }

  static func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
    if value == value.rounded(), abs(value) < 1e15 { return String(Int64(value)) }
    return "\(value)"
  }

  private static func escaped(_ value: String) -> String {
    value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
  }
}
