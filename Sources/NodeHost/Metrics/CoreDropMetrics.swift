import MeshNode
import Metrics

/// The metric objects of what the core drops, made once, and how much of it they have been told. The rest of
/// the core's counters is the daemon's to publish, which reads them with the node's status.
struct CoreDropMetrics {
  private let counters: [DropReason: Counter]
  private var told: [DropReason: UInt64] = [:]

  init(factory: any MetricsFactory) {
    counters = Dictionary(
      uniqueKeysWithValues: DropReason.allCases.map {
        let dimensions = [("reason", $0.rawValue)]
        return ($0, Counter(label: "shadowmesh.drops", dimensions: dimensions, factory: factory))
      })
  }

  /// Adds what the core dropped since the last call.
  mutating func report(_ drops: [DropReason: UInt64]) {
    for (reason, amount) in drops {
      let fresh = amount - told[reason, default: 0]
      if fresh > 0 { counters[reason]?.increment(by: fresh) }
    }
    told = drops
  }
}
