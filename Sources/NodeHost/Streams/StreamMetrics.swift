import Metrics

/// The metric objects of a node's streams, made once.
struct StreamMetrics: Sendable {
  /// Why a stream ended. Labels of the metric `shadowmesh_streams_ended_total`.
  enum End: String, CaseIterable {
    /// The other end closed it, or the network broke it.
    case remote
    /// We closed it.
    case local
    /// No connection, no TLS, or not in time.
    case handshake
    /// The certificate is not the one that the relay's record names.
    case wrongCertificate = "wrong_certificate"
    /// A length that no datagram has.
    case badFrame = "bad_frame"
    /// A datagram begun and not finished in time.
    case slow
    /// Nothing came, or nothing went, for too long.
    case idle
    /// Too many connections, in all or of one network.
    case crowded
  }

  private let streams: Gauge
  private let ended: [End: Counter]
  private let drops: [HostDrop: Counter]

  init(factory: any MetricsFactory) {
    streams = Gauge(label: "shadowmesh.streams", factory: factory)
    ended = Dictionary(
      uniqueKeysWithValues: End.allCases.map {
        let dimensions = [("reason", $0.rawValue)]
        return ($0, Counter(label: "shadowmesh.streams_ended", dimensions: dimensions, factory: factory))
      })
    drops = Dictionary(
      uniqueKeysWithValues: HostDrop.allCases.map {
        let dimensions = [("reason", $0.rawValue)]
        return ($0, Counter(label: "shadowmesh.drops", dimensions: dimensions, factory: factory))
      })
  }

  func count(_ end: End) { ended[end]?.increment() }
  func count(_ drop: HostDrop, _ amount: Int) { if amount > 0 { drops[drop]?.increment(by: amount) } }
  func record(streams count: Int) { streams.record(count) }
}
