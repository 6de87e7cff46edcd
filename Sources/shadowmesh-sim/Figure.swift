/// One measured value, and the gate that it is held to.
struct Figure: Encodable {
  /// What a value must do to pass.
  enum Gate {
    case none
    case atMost(Double)
    case atLeast(Double)
  }

  let name: String
  let value: Double
  let unit: String
  let gate: Gate
  /// Least and most over the seeds or batches of the run.
  var range: ClosedRange<Double>?

  init(
    _ name: String, _ value: Double, _ unit: String, _ gate: Gate = .none, range: ClosedRange<Double>? = nil
  ) {
    self.name = name
    self.value = value
    self.unit = unit
    self.gate = gate
    self.range = range
  }

  var isOK: Bool {
    switch gate {
    case .none: true
    case .atMost(let bound): value <= bound
    case .atLeast(let bound): value >= bound
    }
  }

  var gateText: String {
    switch gate {
    case .none: "reported"
    case .atMost(let bound): "≤ \(Self.text(bound))"
    case .atLeast(let bound): "≥ \(Self.text(bound))"
    }
  }

  /// Whole numbers without a point, others with as many digits as they need, at most four.
  static func text(_ value: Double) -> String {
    if value == value.rounded(), value.magnitude < 1e15 { return "\(Int64(value))" }
    let scaled = (value * 10_000).rounded() / 10_000
    return "\(scaled)"
  }

  private enum CodingKeys: String, CodingKey {
    case name, value, unit, gate, ok, least, most
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(name, forKey: .name)
    try container.encode(value, forKey: .value)
    try container.encode(unit, forKey: .unit)
    switch gate {
    case .none: try container.encodeNil(forKey: .gate)
    case .atMost(let bound), .atLeast(let bound): try container.encode(bound, forKey: .gate)
    }
    try container.encode(isOK, forKey: .ok)
    try container.encodeIfPresent(range?.lowerBound, forKey: .least)
    try container.encodeIfPresent(range?.upperBound, forKey: .most)
  }
}
