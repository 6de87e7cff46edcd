/// Where an axis is marked.
enum Ticks {
  /// Numbers in equal steps of 1, 2 or 5 times a power of ten: ascending, within the range, at most so many.
  static func linear(in range: ClosedRange<Double>, atMost most: Int) -> [Double] {
    let width = range.upperBound - range.lowerBound
    guard width > 0, width.isFinite, most > 0 else { return [] }
    var step = self.step(width / Double(max(1, most)))
    // Rounding to a step can leave one more than fits.
    for _ in 0..<4 {
      let ticks = multiples(of: step, in: range, most: most)
      if ticks.count <= most { return ticks }
      step = self.step(step * 1.5)
    }
    return []
  }

  /// Powers of ten where there are three of them, else 1, 2 and 5 times a power, and where the range has not
  /// even two of those, equal steps.
  static func logarithmic(in range: ClosedRange<Double>, atMost most: Int) -> [Double] {
    guard range.lowerBound > 0, range.upperBound.isFinite, most > 0 else { return [] }
    let rounds = roundNumbers(in: range)
    let tens = rounds.filter(\.isTen).map(\.value)
    if tens.count > 2 {
      let every = (tens.count + most - 1) / most
      return stride(from: 0, to: tens.count, by: every).map { tens[$0] }
    }
    if rounds.count > 1, rounds.count <= most { return rounds.map(\.value) }
    return linear(in: range, atMost: most)
  }

  /// The smallest of 1, 2, 5 times a power of ten that is no less.
  static func step(_ least: Double) -> Double {
    guard least > 0, least.isFinite else { return 1 }
    return roundNumbers(in: least...(least * 10)).first?.value ?? least
  }

  /// The range, widened to steps of its ticks.
  static func widened(_ range: ClosedRange<Double>, _ scale: Chart.Scale, atMost most: Int)
    -> ClosedRange<Double>
  {
    switch scale {
    case .linear:
      let step = self.step((range.upperBound - range.lowerBound) / Double(most))
      let lower = multiple((range.lowerBound / step + 1e-9).rounded(.down), step)
      let upper = multiple((range.upperBound / step - 1e-9).rounded(.up), step)
      return min(lower, range.lowerBound)...max(upper, range.upperBound)
    case .logarithmic:
      let wide = roundNumbers(in: (range.lowerBound / 10)...(range.upperBound * 10)).map(\.value)
      let lower = wide.last { $0 <= range.lowerBound } ?? range.lowerBound
      let upper = wide.first { $0 >= range.upperBound } ?? range.upperBound
      return lower...upper
    }
  }

  private static func roundNumbers(in range: ClosedRange<Double>) -> [(value: Double, isTen: Bool)] {
    (-300...300).flatMap { power -> [(value: Double, isTen: Bool)] in
      let unit = ten(power)
      guard unit <= range.upperBound, unit * 5 >= range.lowerBound else { return [] }
      return [1.0, 2, 5].map { (multiple($0, unit), $0 == 1) }.filter { range.contains($0.0) }
    }
  }

  private static func multiples(of step: Double, in range: ClosedRange<Double>, most: Int) -> [Double] {
    let first = (range.lowerBound / step - 1e-9).rounded(.up)
    let last = (range.upperBound / step + 1e-9).rounded(.down)
    guard last >= first else { return [] }
    guard last - first < Double(most) + 8 else { return [] }
    var ticks: [Double] = []
    for index in 0...Int(last - first) {
      let value = multiple(first + Double(index), step)
      let tick = max(range.lowerBound, min(range.upperBound, value))
      if ticks.last.map({ tick > $0 }) ?? true { ticks.append(tick) }
    }
    return ticks
  }

  /// A product that is as near to the decimal number as can be: 3 times 0.1 is 0.3.
  private static func multiple(_ count: Double, _ step: Double) -> Double {
    guard step < 1 else { return count * step }
    let inverse = (1 / step).rounded()
    return (1 / step - inverse).magnitude < 1e-6 * inverse ? count / inverse : count * step
  }

  private static func ten(_ power: Int) -> Double {
    let factor = (0..<power.magnitude).reduce(1.0) { product, _ in product * 10 }
    return power < 0 ? 1 / factor : factor
  }
}
