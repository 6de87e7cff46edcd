import Hummingbird
import HummingbirdCore
import Logging
import MeshNode
import MeshWire
import NIOCore
import Observability
import ServiceLifecycle

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
