extension Chart {
  /// Points that belong together.
  public struct Series: Codable, Equatable, Sendable {
    /// What the legend calls it.
    public var name: String
    /// How it is drawn.
    public var style: Style
    /// Its points, in the order in which a line joins them.
    public private(set) var points: [Point]

    /// A series of those points that are finite: JSON and a chart have no place for others.
    public init(_ name: String, _ style: Style = .line, points: [Point]) {
      self.name = name
      self.style = style
      self.points = points.filter(\.isFinite)
    }

    /// A series of plain points.
    public init(_ name: String, _ style: Style = .line, pairs: [(x: Double, y: Double)]) {
      self.init(name, style, points: pairs.map { Point($0.x, $0.y) })
    }
  }

  /// How a series is drawn.
  public enum Style: String, Codable, Sendable {
    /// Points joined by a line.
    case line
    /// Points joined by a dashed line.
    case dashed
    /// Points alone.
    case points
  }

  /// One measured value, and between what it lay over the seeds of its run.
  public struct Point: Codable, Equatable, Sendable {
    /// Where it lies on the x axis.
    public var x: Double
    /// Where it lies on the y axis.
    public var y: Double
    /// Least and most, drawn as a band.
    public var band: ClosedRange<Double>?

    /// A point, and the band that it lies in.
    public init(_ x: Double, _ y: Double, band: ClosedRange<Double>? = nil) {
      self.x = x
      self.y = y
      self.band = band
    }

    var isFinite: Bool {
      let isBandFinite = band.map { $0.lowerBound.isFinite && $0.upperBound.isFinite } ?? true
      return x.isFinite && y.isFinite && isBandFinite
    }
  }
}
