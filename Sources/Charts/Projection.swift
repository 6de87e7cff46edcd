import Foundation

/// From the numbers of an axis to places in the picture.
struct Projection {
  let scale: Chart.Scale
  let range: ClosedRange<Double>
  let ticks: [Double]
  private let from: Double
  private let to: Double

  /// An axis from one place to another that holds all values for which it has a place.
  init(_ axis: Chart.Axis, values: [Double], from: Double, to: Double, ticks most: Int) {
    scale = axis.scale
    (self.from, self.to) = (from, to)
    let fixed = axis.range.flatMap { Self.isUsable($0, axis.scale) ? $0 : nil }
    range = fixed ?? Ticks.widened(Self.span(values, axis.scale), axis.scale, atMost: most)
    switch scale {
    case .linear: ticks = Ticks.linear(in: range, atMost: most)
    case .logarithmic: ticks = Ticks.logarithmic(in: range, atMost: most)
    }
  }

  /// The place of a value; nothing for what a logarithmic axis has no place for.
  func place(_ value: Double) -> Double? {
    switch scale {
    case .linear:
      return from + (to - from) * (value - range.lowerBound) / (range.upperBound - range.lowerBound)
    case .logarithmic:
      guard value > 0 else { return nil }
      let (low, high) = (log10(range.lowerBound), log10(range.upperBound))
      return from + (to - from) * (log10(value) - low) / (high - low)
    }
  }

  /// As many decimals as tell one tick from the next.
  func label(_ tick: Double) -> String {
    let gap = zip(ticks.dropFirst(), ticks).map { $0 - $1 }.min() ?? 1
    let decimals = gap >= 1 ? (tick == tick.rounded() ? 0 : 2) : Int((-log10(gap) - 1e-9).rounded(.up))
    return Text.number(tick, decimals: min(12, max(0, decimals)), grouping: true)
  }

  private static func isUsable(_ range: ClosedRange<Double>, _ scale: Chart.Scale) -> Bool {
    let width = range.upperBound - range.lowerBound
    return width > 0 && width.isFinite && (scale == .linear || range.lowerBound > 0)
  }

  /// From least to most, from zero where that is near, and never nothing.
  private static func span(_ values: [Double], _ scale: Chart.Scale) -> ClosedRange<Double> {
    let seen = values.filter { $0.magnitude < 1e100 && (scale == .linear || $0 > 1e-100) }
    guard let least = seen.min(), let most = seen.max() else { return scale == .linear ? 0...1 : 1...10 }
    switch scale {
    case .linear:
      if least >= 0, least <= most / 2, most > 0 { return 0...most }
      guard least == most else { return least...most }
      return least == 0 ? 0...1 : (least - least.magnitude / 2)...(least + least.magnitude / 2)
    case .logarithmic:
      return least == most ? (least / 2)...(least * 2) : least...most
    }
  }
}
