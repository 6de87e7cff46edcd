public import CoreMetrics
import Synchronization

/// A metrics backend for swift-metrics that renders the Prometheus text format, version 0.0.4.
///
/// Make metric objects once and hold them: an increment costs nanoseconds, making one takes a lock and a
/// look-up. At most ``maximumSeries`` label sets exist in all; past that, and for a name that is already in
/// use by another type of metric, the caller gets a metric that counts nowhere, and
/// `shadowmesh_metric_series_refused_total` goes up.
///
/// - A `Counter` named `x` is rendered as `x_total`, a `Timer` as the histogram `x_seconds`, a `Recorder` as
///   the histogram `x`, a `Gauge` or `Meter` as the gauge `x`.
/// - Characters that Prometheus doesn't take in a name become `_`.
public final class PrometheusRegistry: Sendable {
  /// The default bound on label sets, over all metrics.
  public static let maximumSeries = 2_000
  /// Upper bounds for timers, in seconds.
  public static let timeBuckets: [Double] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  ]
  /// Upper bounds for recorders that were given none of their own.
  public static let sizeBuckets: [Double] = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144]

  struct Family {
    let kind: Kind
    /// By rendered label set; sorted when rendered.
    var series: [String: any Series] = [:]
  }

  enum Kind: String { case counter, gauge, histogram }

  private struct State {
    var families: [String: Family] = [:]
    var seriesCount = 0
    var refused: Int64 = 0
  }

  private let state = Mutex(State())
  private let limit: Int
  private let buckets: [String: [Double]]

  /// - Parameter buckets: histogram bounds by metric label, ascending, in place of the default ones.
  public init(maximumSeries: Int = PrometheusRegistry.maximumSeries, buckets: [String: [Double]] = [:]) {
    limit = maximumSeries
    self.buckets = buckets
  }

  /// The content type for what ``render()`` returns.
  public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

  /// Every metric as text, families and label sets in alphabetical order.
  public func render() -> String {
    let (families, refused) = state.withLock { ($0.families, $0.refused) }
    var text = ""
    for (name, family) in families.sorted(by: { $0.key < $1.key }) {
      text += "# TYPE \(name) \(family.kind.rawValue)\n"
      for (labels, series) in family.series.sorted(by: { $0.key < $1.key }) {
        series.render(name: name, labels: labels, into: &text)
      }
    }
    text += "# TYPE shadowmesh_metric_series_refused_total counter\n"
    text += "shadowmesh_metric_series_refused_total \(refused)\n"
    return text
  }

  func series<Handler: Series>(
    _ name: String, _ kind: Kind, _ dimensions: [(String, String)], make: () -> Handler
  ) -> Handler {
    let labels = PrometheusText.labels(dimensions)
    return state.withLock { state in
      var family = state.families[name] ?? Family(kind: kind)
      if let known = family.series[labels] {
        if let known = known as? Handler { return known }
      } else if family.kind == kind, state.seriesCount < limit {
        let fresh = make()
        family.series[labels] = fresh
        state.families[name] = family
        state.seriesCount += 1
        return fresh
      }
      state.refused += 1
      return make()
    }
  }
}

extension PrometheusRegistry: MetricsFactory {
  public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
    series(PrometheusText.name(label, suffix: "_total"), .counter, dimensions) { CounterSeries() }
  }

  public func makeFloatingPointCounter(label: String, dimensions: [(String, String)])
    -> any FloatingPointCounterHandler
  {
    series(PrometheusText.name(label, suffix: "_total"), .counter, dimensions) { FractionSeries() }
  }

  public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
    series(PrometheusText.name(label), .gauge, dimensions) { GaugeSeries() }
  }

  public func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool)
    -> any RecorderHandler
  {
    guard aggregate else {
      return series(PrometheusText.name(label), .gauge, dimensions) { GaugeSeries() }
    }
    let bounds = buckets[label] ?? Self.sizeBuckets
    return series(PrometheusText.name(label), .histogram, dimensions) { HistogramSeries(bounds: bounds) }
  }

  public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
    let bounds = buckets[label] ?? Self.timeBuckets
    return series(PrometheusText.name(label, suffix: "_seconds"), .histogram, dimensions) {
      HistogramSeries(bounds: bounds)
    }
  }

  // Series live as long as the registry: their number is bounded, and a scrape must not see a counter vanish.
  public func destroyCounter(_ handler: any CounterHandler) {}
  public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
  public func destroyMeter(_ handler: any MeterHandler) {}
  public func destroyRecorder(_ handler: any RecorderHandler) {}
  public func destroyTimer(_ handler: any TimerHandler) {}
}
