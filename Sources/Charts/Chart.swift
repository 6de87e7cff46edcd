/// What a chart shows: series of points over two axes, and the line that they are held to. It draws itself as
/// SVG, always the same for the same value.
public struct Chart: Codable, Equatable, Sendable {
  /// The headline.
  public var title: String
  /// The axis along the bottom.
  public var x: Axis
  /// The axis along the left side.
  public var y: Axis
  /// What is drawn, in the order of the legend.
  public var series: [Series]
  /// The line that the series are held to.
  public var gate: Gate?

  /// A chart of these series.
  public init(_ title: String, x: Axis, y: Axis, series: [Series], gate: Gate? = nil) {
    self.title = title
    self.x = x
    self.y = y
    self.series = series
    self.gate = gate
  }

  /// How numbers become places along an axis.
  public enum Scale: String, Codable, Sendable {
    /// Equal steps are equally long.
    case linear
    /// Equal factors are equally long. What isn't above zero has no place and is left out.
    case logarithmic
  }

  /// One of the two axes.
  public struct Axis: Codable, Equatable, Sendable {
    /// What is measured, with its unit.
    public var label: String
    /// Linear or logarithmic.
    public var scale: Scale
    /// What the axis spans; chosen from the points where there is none.
    public var range: ClosedRange<Double>?

    /// An axis that says what it measures.
    public init(_ label: String, _ scale: Scale = .linear, range: ClosedRange<Double>? = nil) {
      self.label = label
      self.scale = scale
      self.range = range
    }
  }

  /// A horizontal line with its meaning.
  public struct Gate: Codable, Equatable, Sendable {
    /// Where it lies on the y axis.
    public var value: Double
    /// What it says, in the legend.
    public var label: String

    /// A line at a value.
    public init(_ value: Double, _ label: String) {
      self.value = value
      self.label = label
    }
  }
}
