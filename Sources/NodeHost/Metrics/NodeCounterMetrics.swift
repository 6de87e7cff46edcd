import MeshNode
import Metrics

/// The metric objects of what a node counts itself, made once, and how much of it they have been told.
struct NodeCounterMetrics {
  private let counters: [(Counter, KeyPath<NodeCounters, UInt64>)]
  private let drops: [DropReason: Counter]
  private var told = NodeCounters()

  init(factory: any MetricsFactory) {
    func counter(_ label: String, _ dimension: (String, String)? = nil) -> Counter {
      Counter(label: "shadowmesh.\(label)", dimensions: dimension.map { [$0] } ?? [], factory: factory)
    }
    counters = [
      (counter("handshakes", ("outcome", "started")), \.handshakesStarted),
      (counter("handshakes", ("outcome", "completed")), \.handshakesCompleted),
      (counter("handshakes", ("outcome", "failed")), \.handshakesFailed),
      (counter("lookups", ("answered_by", "cache")), \.lookupsFromCache),
      (counter("lookups", ("answered_by", "backbone")), \.lookupsFromBackbone),
      (counter("lookups", ("answered_by", "peers")), \.lookupsFromPeers),
      (counter("lookups", ("answered_by", "nobody")), \.lookupsFailed),
      (counter("rekeys"), \.rekeys),
    ]
    drops = Dictionary(
      uniqueKeysWithValues: DropReason.allCases.map { ($0, counter("drops", ("reason", $0.rawValue))) })
  }

  /// Adds what the node counted since the last call.
  mutating func report(_ counters: NodeCounters) {
    for (counter, path) in self.counters {
      let amount = counters[keyPath: path] - told[keyPath: path]
      if amount > 0 { counter.increment(by: amount) }
    }
    for (reason, amount) in counters.drops {
      let fresh = amount - told.drops[reason, default: 0]
      if fresh > 0 { drops[reason]?.increment(by: fresh) }
    }
    told = counters
  }
}
