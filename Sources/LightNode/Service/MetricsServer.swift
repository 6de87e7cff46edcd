import Hummingbird
import HummingbirdCore
import Logging
import MeshNode
import MeshWire
import Metrics
import NIOCore
public import Observability
import ServiceLifecycle
import Synchronization

/// `/metrics` in Prometheus' text format and `/health`, for this machine or its monitoring only.
struct MetricsServer: Service, CustomStringConvertible {
  let address: Endpoint
  let registry: PrometheusRegistry
  let node: NodeCounts
  /// The node's counts; `nil` when it has none to give now.
  let status: @Sendable () async -> NodeStatus?
  let logger: Logger
  /// How long a connection may last, from its first byte to the last of its answer.
  var requestTime = TimeAmount.seconds(10)
  /// Told the port, once connections are taken.
  let listening: @Sendable (_ port: Int) -> Void

  var description: String { "metrics server" }

  /// Connections at once; more wait for one to end. Any user of the machine may connect, and must not use up
  /// the open files that the daemon needs.
  static let clientLimit = 16

  /// Serves until the group shuts down.
  func run() async throws {
    do {
      try await makeApplication().run()
    } catch let error where !(error is CancellationError) {
      let failure = ListenFailure(key: "metrics_listen", address: address, error)
      throw LightNodeDaemon.StartFailure(failure, next: failure.next + ", or metrics_listen: off")
    }
  }

  private func makeApplication() -> some ApplicationProtocol {
    let router = Router()
    router.get("/metrics") { _, _ in
      if let status = await status() { node.take(status) }
      return Response(
        status: .ok, headers: [.contentType: PrometheusRegistry.contentType],
        body: .init(byteBuffer: ByteBuffer(string: registry.render())))
    }
    router.get("/health") { _, _ in
      Response(
        status: .ok, headers: [.contentType: "application/json", .cacheControl: "no-store"],
        body: .init(byteBuffer: ByteBuffer(string: "{\"status\":\"ok\"}\n")))
    }
    let limit = requestTime
    return Application(
      router: router,
      server: .http1(configuration: .init(additionalChannelHandlers: [RequestDeadline(limit: limit)])),
      configuration: .init(
        address: .hostname(address.address.description, port: Int(address.port)), serverName: nil,
        availableConnectionsDelegate: MaximumAvailableConnections(Self.clientLimit)),
      onServerRunning: { listening($0.localAddress?.port ?? 0) },
      logger: logger)
  }
}

/// The node's own counts as metrics. The loop counts packets and drops itself, as they happen.
final class NodeCounts: Sendable {
  private let handshakes: [(counter: Counter, value: any KeyPath<NodeCounters, UInt64> & Sendable)]
  /// How much of each of them the metrics were told.
  private let told: Mutex<[UInt64]>
  private let table = Gauge(label: "shadowmesh_table_contacts")
  private let records = Gauge(label: "shadowmesh_records_cached")
  private let peers = Gauge(label: "shadowmesh_peers")
  private let direct = Gauge(label: "shadowmesh_sessions", dimensions: [("path", "direct")])
  private let control = Gauge(label: "shadowmesh_control_sessions")

  init(factory: any MetricsFactory = MetricsSystem.factory) {
    func counter(_ label: String, _ dimension: (String, String)? = nil) -> Counter {
      Counter(label: label, dimensions: dimension.map { [$0] } ?? [], factory: factory)
    }
    handshakes = [
      (counter("shadowmesh_handshakes", ("outcome", "started")), \.handshakesStarted),
      (counter("shadowmesh_handshakes", ("outcome", "completed")), \.handshakesCompleted),
      (counter("shadowmesh_handshakes", ("outcome", "failed")), \.handshakesFailed),
      (counter("shadowmesh_lookups", ("source", "cache")), \.lookupsFromCache),
      (counter("shadowmesh_lookups", ("source", "backbone")), \.lookupsFromBackbone),
      (counter("shadowmesh_lookups", ("source", "peers")), \.lookupsFromPeers),
      (counter("shadowmesh_lookups", ("source", "none")), \.lookupsFailed),
      (counter("shadowmesh_rekeys"), \.rekeys),
    ]
    told = Mutex(Array(repeating: 0, count: handshakes.count))
  }

  /// Brings the metrics up to a status.
  func take(_ status: NodeStatus) {
    take(status.counters)
    table.record(status.tableContacts)
    records.record(status.cachedRecords)
    peers.record(status.peers.count)
    direct.record(status.peers.count { $0.path?.kind == .direct })
    control.record(status.controlSessions)
  }
}

extension NodeCounts {
  /// Adds what is new. Of two scrapes at once the older counts may come last: they add nothing.
  func take(_ counters: NodeCounters) {
    told.withLock { told in
      for (index, entry) in handshakes.enumerated() {
        let now = counters[keyPath: entry.value]
        guard now > told[index] else { continue }
        entry.counter.increment(by: now - told[index])
        told[index] = now
      }
    }
  }
}

extension LightNodeDaemon {
  /// Makes the registry of `/metrics` and gives it to the metrics system; once, at the start of the program.
  public static func bootstrapMetrics() -> PrometheusRegistry {
    let registry = PrometheusRegistry()
    MetricsSystem.bootstrap(registry)
    return registry
  }
}
