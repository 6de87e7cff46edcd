import MeshWire
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
    /// As many as may be open from its /24 or /56.
    case crowdedPrefix = "crowded_prefix"
  }

  /// The most connections at a time, over all listeners.
  let limit: Int
  /// The most of one /24 or /56: a thirty-second part of all, but enough for a household. Loopback is exempt,
  /// because what comes from there may be a proxy that speaks for many.
  let limitOfPrefix: Int
  private let open = Atomic<Int>(0)
  /// By prefix; never more entries than connections.
  private let openByPrefix = Mutex<[IPAddress: Int]>([:])
  private let gauge: Gauge
  private let ended: [Reason: Counter]

  init(limit: Int, factory: any MetricsFactory) {
    self.limit = limit
    limitOfPrefix = max(16, limit / 32)
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

  /// Counts a connection until ``closed(from:)``; whether its prefix may have it.
  func opened(from address: IPAddress?) -> Bool {
    gauge.record(open.wrappingAdd(1, ordering: .relaxed).newValue)
    guard let prefix = Self.prefix(of: address) else { return true }
    return openByPrefix.withLock {
      $0[prefix, default: 0] += 1
      return $0[prefix, default: 0] <= limitOfPrefix
    }
  }

  /// Ends what ``opened(from:)`` began, whatever that said.
  func closed(from address: IPAddress?) {
    gauge.record(open.wrappingSubtract(1, ordering: .relaxed).newValue)
    guard let prefix = Self.prefix(of: address) else { return }
    openByPrefix.withLock {
      let others = $0[prefix, default: 0] - 1
      $0[prefix] = others > 0 ? others : nil
    }
  }

  private static func prefix(of address: IPAddress?) -> IPAddress? {
    guard let address, !address.isLoopback else { return nil }
    return address.limitPrefix
  }

  func count(_ reason: Reason) { ended[reason]?.increment() }
}
