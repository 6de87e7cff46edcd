import CoreMetrics
import Synchronization

/// One label set of one metric.
protocol Series: AnyObject, Sendable {
  func render(name: String, labels: String, into text: inout String)
}

final class CounterSeries: Series, CounterHandler {
  private let value = Atomic<Int64>(0)

  func increment(by amount: Int64) { value.wrappingAdd(amount, ordering: .relaxed) }
  func reset() { value.store(0, ordering: .relaxed) }

  func render(name: String, labels: String, into text: inout String) {
    text += PrometheusText.line(name, labels, "\(value.load(ordering: .relaxed))")
  }
}

final class FractionSeries: Series, FloatingPointCounterHandler {
  private let value = Mutex(0.0)

  func increment(by amount: Double) { value.withLock { $0 += amount } }
  func reset() { value.withLock { $0 = 0 } }

  func render(name: String, labels: String, into text: inout String) {
    text += PrometheusText.line(name, labels, PrometheusText.number(value.withLock { $0 }))
  }
}

final class GaugeSeries: Series, MeterHandler, RecorderHandler {
  private let value = Mutex(0.0)

  func set(_ value: Int64) { set(Double(value)) }
  func set(_ value: Double) { self.value.withLock { $0 = value } }
  func record(_ value: Int64) { set(Double(value)) }
  func record(_ value: Double) { set(value) }
  func increment(by amount: Double) { value.withLock { $0 += amount } }
  func decrement(by amount: Double) { value.withLock { $0 -= amount } }

  func render(name: String, labels: String, into text: inout String) {
    text += PrometheusText.line(name, labels, PrometheusText.number(value.withLock { $0 }))
  }
}

final class HistogramSeries: Series, RecorderHandler, TimerHandler {
  private struct State {
    /// One a bound, and one for what lies above all of them.
    var counts: [UInt64]
    var sum = 0.0
  }

  private let bounds: [Double]
  private let state: Mutex<State>

  init(bounds: [Double]) {
    self.bounds = bounds
    state = Mutex(State(counts: Array(repeating: 0, count: bounds.count + 1)))
  }

  func record(_ value: Int64) { record(Double(value)) }

  func record(_ value: Double) {
    let index = bounds.firstIndex { value <= $0 } ?? bounds.count
    state.withLock {
      $0.counts[index] += 1
      $0.sum += value
    }
  }

  func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }

  func render(name: String, labels: String, into text: inout String) {
    let (counts, sum) = state.withLock { ($0.counts, $0.sum) }
    var running: UInt64 = 0
    for (index, count) in counts.enumerated() {
      running += count
      let bound = index < bounds.count ? PrometheusText.number(bounds[index]) : "+Inf"
      text += PrometheusText.line("\(name)_bucket", labels, extra: "le=\"\(bound)\"", "\(running)")
    }
    text += PrometheusText.line("\(name)_sum", labels, PrometheusText.number(sum))
    text += PrometheusText.line("\(name)_count", labels, "\(running)")
  }
}
