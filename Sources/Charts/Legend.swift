/// What the series and the gate are called, in rows below the plot.
struct Legend {
  /// Where its first row begins.
  let top: Double
  let lines: [String]

  private enum Entry {
    case series(Chart.Series, Palette.Look)
    case gate(String)

    var name: String {
      switch self {
      case .series(let series, _): series.name
      case .gate(let label): label
      }
    }
  }

  init(_ chart: Chart, left: Double, right: Double, bottom: Double) {
    var entries = chart.series.enumerated().map { Entry.series($1, Palette.Look(number: $0)) }
    if let gate = chart.gate { entries.append(.gate(gate.label)) }
    entries.removeAll { $0.name.isEmpty }
    var rows: [[(entry: Entry, x: Double)]] = []
    var next = right
    for entry in entries {
      let width = 38 + Self.width(of: entry.name, size: 13) + 20
      if next + width > right + 20 || rows.isEmpty {
        rows.append([])
        next = left
      }
      rows[rows.count - 1].append((entry, next))
      next += width
    }
    let top = bottom - 20 * Double(rows.count)
    self.top = top
    lines = rows.enumerated().flatMap { number, row in
      row.flatMap { Self.drawn($0.entry, $0.x, top + 20 * Double(number) + 14, right) }
    }
  }

  private static func drawn(_ entry: Entry, _ x: Double, _ y: Double, _ right: Double) -> [String] {
    let line = "d=\"M\(Text.place(x)) \(Text.place(y - 4))h28\"/>"
    let label = words(entry.name, x + 36, y, size: 13, room: right - x - 36)
    switch entry {
    case .gate: return ["<path class=\"gate\" \(line)", label]
    case .series(let series, let look):
      let mark = look.mark(x + 14, y - 4)
      if series.style == .points { return [mark, label] }
      let kind = series.style == .dashed ? "line dashed" : "line"
      return ["<path class=\"\(kind) \(look.color)\" \(line)", mark, label]
    }
  }

  /// Words that are set smaller where there is no room for them.
  static func words(
    _ words: String, _ x: Double, _ y: Double, _ kind: String = "", size: Double, room: Double
  ) -> String {
    let needed = width(of: words, size: size)
    let fitting = needed > room ? size * room / needed : size
    let kind = kind.isEmpty ? "" : " class=\"\(kind)\""
    return "<text x=\"\(Text.place(x))\" y=\"\(Text.place(y))\" font-size=\"\(Text.place(fitting))\"\(kind)>"
      + "\(Text.escaped(words))</text>"
  }

  /// About as wide as a wide font sets it.
  private static func width(of words: String, size: Double) -> Double { 0.58 * size * Double(words.count) }
}
