import Foundation
import Hummingbird
import HummingbirdCore
public import Logging
public import MeshCrypto
import NIOCore
public import Observability
public import ServiceLifecycle

/// A whole backbone: the registry, its HTTP servers, and the upkeep of its store. One to a process.
public struct BackboneService: Service {
  /// The most connections on one listener; the others wait in the kernel's backlog. Fewer where the process
  /// may open fewer files.
  static let maximumConnections = 4_096
  /// How often the store is pruned and revocations are read.
  static let upkeepInterval = Duration.seconds(5)

  private let registry: Registry
  private let prometheus: PrometheusRegistry
  private let listeners: [Listener]
  private let certificates: [TLSFiles: ServerCertificate]
  private let logger: Logger
  /// Told the port of each listener once it accepts connections; for listeners on port 0.
  private let onListening: @Sendable (Int) async -> Void

  /// Reads certificates and what the store holds, and signs the list of nodes.
  public init(
    settings: BackboneSettings, identity: IdentityKey, keys: RegionKeys, store: any Store,
    listeners: [Listener], prometheus: PrometheusRegistry, clock: BackboneClock = .system, logger: Logger,
    onListening: @escaping @Sendable (Int) async -> Void = { _ in }
  ) async throws {
    var certificates: [TLSFiles: ServerCertificate] = [:]
    for files in Set(listeners.compactMap(\.tls)) { certificates[files] = try ServerCertificate(files) }
    self.certificates = certificates
    registry = try await Registry(
      settings: settings, identity: identity, keys: keys, store: store,
      metrics: BackboneMetrics(factory: prometheus), clock: clock)
    self.prometheus = prometheus
    self.listeners = listeners
    self.logger = logger
    self.onListening = onListening
  }

  public func run() async throws {
    var services: [any Service] = [Upkeep(registry: registry, interval: Self.upkeepInterval, logger: logger)]
    let limit = OpenFiles.connections(
      forEachOf: listeners.count, openFiles: OpenFiles.raised(), upTo: Self.maximumConnections)
    let tally = ConnectionTally(limit: limit * listeners.count, factory: prometheus)
    for listener in listeners { services.append(application(for: listener, limit: limit, tally: tally)) }
    let result: Result<Void, any Error>
    do {
      let group = ServiceGroup(configuration: .init(services: services, logger: logger))
      result = .success(try await group.run())
    } catch {
      result = .failure(error)
    }
    try await registry.shutdown()
    try result.get()
  }

  /// Reads certificates and keys again, for connections that come from now on. A pair that can't be used
  /// leaves the one before; throws ``TLSFileProblem`` for the first such.
  public func reloadCertificates() throws {
    let results = certificates.values.map { certificate in Result { try certificate.reload() } }
    for result in results { try result.get() }
  }

  private func application(
    for listener: Listener, limit: Int, tally: ConnectionTally
  ) -> some ApplicationProtocol {
    let certificate = listener.tls.flatMap { certificates[$0] }
    let server = HTTPServerBuilder { responder in
      let plain = OnEventLoop(
        base: HTTP1Channel(
          responder: responder,
          configuration: .init(
            additionalChannelHandlers: [ConnectionGuard(tally: tally)],
            httpDecoderConfiguration: .init(
              maxHeaderFieldSize: 8_192, maxHeaderListSize: 16_384, maxHeaderFieldCount: 100))))
      return if let certificate { TLSConnections(certificate: certificate, base: plain) } else { plain }
    }
    let onListening = onListening
    return Application(
      responder: RegistryResponder(registry: registry, prometheus: prometheus), server: server,
      configuration: ApplicationConfiguration(
        address: .hostname(listener.host, port: listener.port),
        availableConnectionsDelegate: MaximumAvailableConnections(limit)),
      onServerRunning: { channel in await onListening(channel.localAddress?.port ?? 0) },
      logger: Unattached.logger(like: logger))
  }
}

/// Prunes and refreshes every few seconds; a failure is logged and tried again.
struct Upkeep: Service {
  let registry: Registry
  let interval: Duration
  let logger: Logger

  func run() async throws {
    await cancelWhenGracefulShutdown {
      while !Task.isCancelled {
        do { try await registry.maintain() } catch is CancellationError { return } catch {
          logger.error("upkeep failed", metadata: ["reason": "\(error)"])
        }
        try? await Task.sleep(for: interval)
      }
    }
  }
}
