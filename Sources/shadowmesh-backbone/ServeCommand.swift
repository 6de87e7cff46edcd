import ArgumentParser
import Backbone
import BackboneAPI
import Daemon
import Foundation
import Logging
import MeshCrypto
import Metrics
import NIOCore
import Observability
import ServiceLifecycle
import UnixSignals

/// Serves what a configuration file says.
struct ServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve", abstract: "Serve what the configuration file says (the default).")

  @OptionGroup var file: ConfigurationOption

  @Flag(help: "Check the configuration and exit.")
  var checkConfig = false

  func run() async throws {
    let configuration = try file.load()
    do { try configuration.checkTLSFiles() } catch { throw Program.refusal("\(error)") }
    if checkConfig {
      print("\(file.path): good")
      return
    }
    let state = try StateDirectory(path: configuration.stateDirectory)
    let identity = try state.identity()
    try state.lock()
    let store = try SQLiteStore(file: state.registryFile, bounds: configuration.bounds)
    let logger = Program.logger(level: configuration.logLevel)
    logger.notice("starting", metadata: ["backbone_key": "\(identity.keyHash)"])
    try await Program.run(
      settings: configuration.settings, identity: identity, keys: try state.regionKeys(), store: store,
      listeners: configuration.listeners, datagrams: configuration.datagrams, logger: logger)
  }
}

/// `--config FILE`, for every command that needs the backbone's state.
struct ConfigurationOption: ParsableArguments {
  @Option(help: ArgumentHelp("The configuration file.", valueName: "file"))
  var config: String?

  var path: String { config ?? "" }

  func validate() throws {
    guard config != nil else {
      throw ValidationError("--config FILE is missing; to try things out, `dev` needs none")
    }
  }

  func load() throws -> BackboneConfiguration {
    do { return try BackboneConfiguration(path: path) } catch { throw Program.refusal("\(error)") }
  }
}

/// Reads the certificate again on SIGHUP, as those who renew it ask for.
struct Reloading: Service {
  let backbone: BackboneService
  let logger: Logger

  func run() async throws {
    for await _ in await UnixSignalsSequence(trapping: .sighup).cancelOnGracefulShutdown() {
      do {
        try backbone.reloadCertificates()
        logger.notice("read the certificate again")
      } catch {
        logger.error("the certificate before stays", metadata: ["reason": "\(error)"])
      }
    }
  }
}

/// Tells the service manager once all listeners accept connections.
actor Readiness {
  private var awaited: Int
  private let logger: Logger

  init(listeners: Int, logger: Logger) {
    awaited = listeners
    self.logger = logger
  }

  /// One listener more accepts connections.
  func listenerIsOpen() {
    awaited -= 1
    guard awaited == 0 else { return }
    do { try ServiceNotification.ready.send() } catch {
      logger.warning("the service manager was not told", metadata: ["reason": "\(error)"])
    }
  }
}

/// What every way of serving has in common.
enum Program {
  static func logger(level: BackboneConfiguration.LogLevel) -> Logger {
    LoggingSystem.bootstrap { label in StreamLogHandler.standardError(label: label) }
    var logger = Logger(label: "shadowmesh-backbone")
    logger.logLevel = Logger.Level(rawValue: level.rawValue) ?? .info
    return logger
  }

  static func run(
    settings: BackboneSettings, identity: IdentityKey, keys: RegionKeys, store: SQLiteStore,
    listeners: [BackboneService.Listener], datagrams: DatagramSettings, logger: Logger,
    onListening: @escaping @Sendable (Int) async -> Void = { _ in }
  ) async throws {
    let prometheus = PrometheusRegistry()
    MetricsSystem.bootstrap(prometheus)
    let readiness = Readiness(listeners: listeners.count, logger: logger)
    var services = try await meshServices(
      datagrams, settings: settings, identity: identity, metrics: prometheus, logger: logger)
    let itself = datagrams.nodes(region: settings.region, keyHash: identity.keyHash)
    let service = try await BackboneService(
      settings: settings.announcing(itself), identity: identity, keys: keys, store: store,
      listeners: listeners, prometheus: prometheus, logger: logger
    ) { port in
      await onListening(port)
      await readiness.listenerIsOpen()
    }
    services += [Reloading(backbone: service, logger: logger), service]
    var group = ServiceGroupConfiguration(
      services: services, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
    group.maximumGracefulShutdownDuration = .seconds(10)
    do {
      try await ServiceGroup(configuration: group).run()
    } catch let error as IOError {
      throw ListenFailure(listeners: listeners, code: error.errnoCode)
    }
    logger.notice("stopped")
  }

  /// What listens on UDP.
  private static func meshServices(
    _ datagrams: DatagramSettings, settings: BackboneSettings, identity: IdentityKey,
    metrics: PrometheusRegistry, logger: Logger
  ) async throws -> [any Service] {
    var services: [any Service] = []
    if let stun = datagrams.stun {
      services.append(try await STUNServer.open(stun, metrics: metrics, logger: logger))
    }
    guard let listen = datagrams.listen else { return services }
    let endpoint = try MeshEndpoint(
      listen: listen, region: settings.region, identity: identity, metrics: metrics, logger: logger)
    logger.notice("nodes are introduced over UDP", metadata: ["udp.listen": "\(endpoint.local)"])
    if datagrams.announced.isEmpty, !settings.nodes.contains(where: { $0.keyHash == identity.keyHash }) {
      logger.warning("udp.announce is missing: nodes are not told where to be introduced")
    }
    return services + [endpoint]
  }

  /// Says what is wrong with the configuration, without the usage that doesn't help there.
  static func refusal(_ reason: String) -> ExitCode {
    FileHandle.standardError.write(Data("Error: \(reason)\n".utf8))
    return .validationFailure
  }

  /// Prints at once, also into a pipe.
  static func say(_ text: String) {
    FileHandle.standardOutput.write(Data((text + "\n").utf8))
  }
}
