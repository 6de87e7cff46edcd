extension Chart {
  /// The chart as an SVG file of 720 by 420, light or dark as its reader has it.
  public func svg() -> String { Drawing(self).text }
}

/// Lays a chart out and writes it down.
struct Drawing {
  static let width = 720.0
  static let height = 420.0

  private let chart: Chart
  private let legend: Legend
  private let x: Projection
  private let y: Projection
  private let left: Double
  private let right = Self.width - 32
  private let top = 66.0
  private let bottom: Double

  init(_ chart: Chart) {
    self.chart = chart
    legend = Legend(chart, left: 24, right: Self.width - 24, bottom: Self.height - 14)
    bottom = legend.top - 50
    let points = chart.series.flatMap(\.points)
    let heights = points.flatMap { point in
      [point.y] + (point.band.map { [$0.lowerBound, $0.upperBound] } ?? [])
    }
    let gates = chart.gate.map { $0.value.isFinite ? [$0.value] : [] } ?? []
    y = Projection(chart.y, values: heights + gates, from: bottom, to: top, ticks: 7)
    let labels = y
    let widest = labels.ticks.map { labels.label($0).count }.max() ?? 0
    left = 36 + 7 * Double(widest)
    x = Projection(chart.x, values: points.map(\.x), from: left, to: right, ticks: 9)
  }

  var text: String {
    var lines = [
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 420\" width=\"720\" height=\"420\" "
        + "role=\"img\" aria-labelledby=\"title desc\">",
      "<title id=\"title\">\(Text.escaped(chart.title))</title>",
      "<desc id=\"desc\">\(Text.escaped(description))</desc>",
      Palette.style,
      "<clipPath id=\"plot\"><rect \(plot) /></clipPath>",
      "<rect class=\"card\" width=\"720\" height=\"420\" rx=\"8\"/>",
      words(chart.title, 24, 30, "title", size: 16, room: Self.width - 48),
      words(chart.y.label, 24, 52, size: 13, room: Self.width - 48),
      words(
        chart.x.label, (left + right) / 2, bottom + 38, "middle", size: 13, room: right - left),
    ]
    lines += grid
    lines += chart.series.enumerated().flatMap { drawn($1, Palette.Look(number: $0)) }
    if let gate = chart.gate, let at = y.place(gate.value), y.range.contains(gate.value) {
      lines.append("<path class=\"gate\" d=\"M\(pair(left, at))L\(pair(right, at))\"/>")
    }
    if chart.series.allSatisfy(\.points.isEmpty) {
      lines.append(words("no data", (left + right) / 2, (top + bottom) / 2, "middle", size: 13, room: 200))
    }
    return (lines + legend.lines + ["</svg>", ""]).joined(separator: "\n")
  }

  private var plot: String {
    "x=\"\(Text.place(left))\" y=\"\(Text.place(top))\" width=\"\(Text.place(right - left))\" "
      + "height=\"\(Text.place(bottom - top))\""
  }

  private var description: String {
    let names = chart.series.map { "\($0.name), \($0.points.count) points" }
    let gate = chart.gate.map { [$0.label] } ?? []
    let lost = chart.series.flatMap(\.points).count { place($0.x, $0.y) == nil }
    let missing =
      lost == 0 ? [] : ["\(lost) points left out: a logarithmic axis has no place for zero and below"]
    let axes = "\(chart.y.label) against \(chart.x.label)"
    return ([axes] + names + gate + missing).joined(separator: "; ")
  }

  private var grid: [String] {
    var lines: [String] = []
    for tick in y.ticks {
      guard let at = y.place(tick) else { continue }
      lines.append("<path class=\"grid\" d=\"M\(pair(left, at))L\(pair(right, at))\"/>")
      lines.append(words(y.label(tick), left - 8, at + 4, "end", size: 12, room: left))
    }
    for tick in x.ticks {
      guard let at = x.place(tick) else { continue }
      lines.append("<path class=\"grid\" d=\"M\(pair(at, top))L\(pair(at, bottom))\"/>")
      lines.append(words(x.label(tick), at, bottom + 18, "middle", size: 12, room: right))
    }
    let frame = "M\(pair(left, top))V\(Text.place(bottom))H\(Text.place(right))"
    lines.append("<path class=\"axis\" d=\"\(frame)\"/>")
    return lines
  }

  private func drawn(_ series: Chart.Series, _ look: Palette.Look) -> [String] {
    let places = series.points.compactMap { point in place(point.x, point.y).map { (point, at: $0) } }
    var lines: [String] = []
    let clipped = "\(look.color)\" clip-path=\"url(#plot)\""
    let bands = places.compactMap { point, at -> (x: Double, low: Double, high: Double)? in
      guard let band = point.band, let high = y.place(band.upperBound) else { return nil }
      return (at.x, y.place(band.lowerBound) ?? bottom, high)
    }
    if series.style == .points || bands.count == 1 {
      lines += bands.map {
        "<path class=\"line \(clipped) d=\"M\(pair($0.x, $0.low))V\(Text.place($0.high))\"/>"
      }
    } else if bands.count > 1 {
      let outline = bands.map { pair($0.x, $0.high) } + bands.reversed().map { pair($0.x, $0.low) }
      lines.append("<path class=\"band \(clipped) d=\"M\(outline.joined(separator: "L"))Z\"/>")
    }
    if series.style != .points, places.count > 1 {
      let line = places.map { pair($0.at.x, $0.at.y) }.joined(separator: "L")
      let kind = series.style == .dashed ? "line dashed" : "line"
      lines.append("<path class=\"\(kind) \(clipped) d=\"M\(line)\"/>")
    }
    // A line of many points keeps a dozen marks, set off from those of its neighbours.
    let every = series.style == .points || places.count <= 24 ? 1 : places.count / 12
    for (index, (point, at)) in places.enumerated() where index % every == look.number % every {
      guard x.range.contains(point.x), y.range.contains(point.y) else { continue }
      lines.append(look.mark(at.x, at.y))
    }
    return lines
  }

  private func place(_ x: Double, _ y: Double) -> (x: Double, y: Double)? {
    guard let x = self.x.place(x), let y = self.y.place(y) else { return nil }
    return (x, y)
  }

  private func pair(_ x: Double, _ y: Double) -> String { "\(Text.place(x)) \(Text.place(y))" }

  private func words(
    _ words: String, _ x: Double, _ y: Double, _ kind: String = "", size: Double, room: Double
  ) -> String {
    Legend.words(words, x, y, kind, size: size, room: room)
  }
}
