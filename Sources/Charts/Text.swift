/// Numbers and words as they stand in an SVG file: the same on every machine, whatever its locale.
enum Text {
  /// A number with so many decimals, without trailing zeros.
  static func number(_ value: Double, decimals: Int, grouping: Bool = false) -> String {
    let factor = (0..<decimals).reduce(1.0) { product, _ in product * 10 }
    let scaled = (value * factor).rounded()
    guard scaled.magnitude < 1e15 else { return "\(value)" }
    let digits = String(Int64(scaled.magnitude))
    let padded = String(repeating: "0", count: max(0, decimals + 1 - digits.count)) + digits
    var fraction = padded.suffix(decimals)
    while fraction.last == "0" { fraction.removeLast() }
    var whole = String(padded.dropLast(decimals))
    if grouping, whole.count > 3 {
      for place in stride(from: whole.count - 3, to: 0, by: -3) {
        whole.insert(",", at: whole.index(whole.startIndex, offsetBy: place))
      }
    }
    let sign = scaled < 0 ? "-" : ""
    return sign + whole + (fraction.isEmpty ? "" : "." + fraction)
  }

  /// A place in the picture.
  static func place(_ value: Double) -> String { number(max(-9_999, min(9_999, value)), decimals: 2) }

  /// Words in which nothing is markup, and no character is one that XML forbids.
  static func escaped(_ words: String) -> String {
    var result = ""
    for scalar in words.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      case "\u{20}"..."\u{d7ff}", "\u{e000}"..."\u{fffd}", "\u{10000}"..."\u{10ffff}":
        result.unicodeScalars.append(scalar)
      default: result += " "
      }
    }
    return result
  }
}
