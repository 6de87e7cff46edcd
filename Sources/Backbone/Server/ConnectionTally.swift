import Metrics
import Synchronization

/// How many connections a backbone has, and why it ended some of them.
final class ConnectionTally: Sendable {
  /// Why a connection was ended from our side.
  enum Reason: String, CaseIterable {
    case notHTTP = "not_http"
    case headersTooLarge = "headers_too_large"
    case slowBody = "slow_body"
    case slowReader = "slow_reader"
    case idle
  }

  /// The most connections at a time, over all listeners.
  let limit: Int
  private let open = Atomic<Int>(0)
  private let gauge: Gauge
  private let ended: [Reason: Counter]

  init(limit: Int, factory: any MetricsFactory) {
    self.limit = limit
    gauge = Gauge(label: "shadowmesh_backbone_connections", factory: factory)
    ended = Dictionary(
      uniqueKeysWithValues: Reason.allCases.map {
        let dimensions = [("reason", $0.rawValue)]
        let label = "shadowmesh_backbone_connections_ended"
        return ($0, Counter(label: label, dimensions: dimensions, factory: factory))
      })
  }

  /// Whether idle connections should make room: three quarters are taken.
  var isCrowded: Bool { open.load(ordering: .relaxed) * 4 > limit * 3 }

  func opened() { gauge.record(open.wrappingAdd(1, ordering: .relaxed).newValue) }

  func closed() { gauge.record(open.wrappingSubtract(1, ordering: .relaxed).newValue) }

  func count(_ reason: Reason) { ended[reason]?.increment() }
}
