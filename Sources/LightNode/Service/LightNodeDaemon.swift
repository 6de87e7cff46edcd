import BackboneAPI
import ControlAPI
import Daemon
import Foundation
public import Logging
import MeshCrypto
import MeshNode
import MeshWire
import NodeHost
public import Observability
import ServiceLifecycle
import UnixSignals

/// The daemon: reads key and state, opens socket and TUN device, and runs until SIGTERM or SIGINT.
public struct LightNodeDaemon: Sendable {
  /// Endings that are worth a sentence, not a trace.
  public struct StartFailure: Error, CustomStringConvertible {
    public let description: String
    public let next: String

    init(_ error: any Error, next: String = "") {
      description = "\(error)"
      self.next = next
    }
  }

  private let configuration: LiveConfiguration
  private let reload: @Sendable () throws -> LightNodeConfiguration
  private let registry: PrometheusRegistry
  private let logger: Logger

  /// - Parameters:
  ///   - reload: reads the configuration again, at SIGHUP.
  ///   - registry: what `/metrics` shows; already given to the metrics system.
  public init(
    configuration: LightNodeConfiguration, registry: PrometheusRegistry, logger: Logger,
    reload: @escaping @Sendable () throws -> LightNodeConfiguration
  ) {
    self.configuration = LiveConfiguration(configuration)
    self.registry = registry
    self.logger = logger
    self.reload = reload
  }

  /// Runs to the end. Throws ``StartFailure`` when it cannot begin, and what ended it when it ended early.
  public func run() async throws {
    let configuration = configuration.current
    let identity = try openKey(configuration)
    let lock = try lockState(configuration)
    defer { lock.release() }
    let folder = StateFolder(directory: configuration.stateDirectory)
    let state = try readState(folder, ourself: identity.keyHash.peerID)
    do { try PeerIDFile.write(identity.keyHash.peerID, to: configuration.peerIDFile) } catch {
      logger.warning(
        "peer_id_file could not be written",
        metadata: ["path": "\(configuration.peerIDFile)", "reason": "\(error)"])
    }
    let (loop, device, port) = try openLoop(configuration, identity, state, folder)
    let mtu = DeviceMTU(configuration.mtu, logger: logger) { try device.set(mtu: UInt32($0)) }
    let parts = try Parts(
      configuration: self.configuration, identity: identity, folder: folder, state: state, loop: loop,
      mtu: mtu, listenPort: port, logger: logger)
    await parts.connect()
    try await serve(parts) {
      logger.notice(
        "light node runs",
        metadata: [
          "peer.id": "\(identity.keyHash.peerID)",
          "address": "\(OverlayAddress(of: identity.keyHash.peerID))", "listen.port": "\(port)",
          "version": "\(Release.version)",
        ])
      do { try ServiceNotification.ready.send() } catch {
        logger.warning("the service manager was not told", metadata: ["reason": "\(error)"])
      }
    }
    logger.notice("light node has stopped")
  }

  private func serve(_ parts: Parts, started: @escaping @Sendable () -> Void) async throws {
    let metrics: Endpoint? =
      if case .address(let endpoint) = configuration.current.metricsListener { endpoint } else { nil }
    let beginning = Beginning(of: metrics == nil ? 1 : 2, then: started)
    var services: [ServiceGroupConfiguration.ServiceConfiguration] = [
      .init(service: LoopService(parts: parts), successTerminationBehavior: .gracefullyShutdownGroup),
      .init(service: Piece("backbone session") { try await parts.session.run() }),
      .init(service: Piece("record publisher") { try await parts.publisher.run() }),
      .init(service: parts.mapping),
      .init(service: Piece("address watch") { try await parts.watch.run() }),
      .init(service: Piece("relay directory") { try await parts.relays.run() }),
      .init(service: Piece("state saver") { try await parts.saveNowAndThen() }),
      .init(service: Piece("reload at SIGHUP") { await self.reloadAtSignal(parts) }),
      .init(
        service: Piece("control server") {
          do { try await parts.controlServer.run(listening: beginning.hasBegun) } catch let failure
            as ControlSocket.Failure
          {
            throw StartFailure(failure, next: failure.next)
          }
        }),
    ]
    if let metrics {
      let server = MetricsServer(
        address: metrics, registry: registry, node: NodeCounts(),
        status: { [loop = parts.loop] in
          try? await loop.perform { node, now, _ in node.status(now: now) }
        },
        logger: Logger(label: "shadowmesh.metrics"), listening: { _ in beginning.hasBegun() })
      services.append(.init(service: server))
    }
    var group = ServiceGroupConfiguration(
      services: services, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
    group.maximumGracefulShutdownDuration = .seconds(10)
    try await ServiceGroup(configuration: group).run()
  }

  private func openKey(_ configuration: LightNodeConfiguration) throws -> IdentityKey {
    do {
      let passphrase = try configuration.passphraseFile.map {
        try FirstLine.read($0, for: "passphrase_file")
      }
      return try Keystore(directory: configuration.stateDirectory).open(passphrase: passphrase)
    } catch let failure as Keystore.Failure {
      let next =
        if case .unreadable(_, .passphraseNeeded) = failure {
          "name the file that holds it: passphrase_file in the configuration"
        } else { failure.next }
      throw StartFailure(failure, next: next)
    } catch { throw StartFailure(error) }
  }

  private func lockState(_ configuration: LightNodeConfiguration) throws -> StateLock {
    do { return try StateLock(directory: configuration.stateDirectory) } catch {
      throw StartFailure(error, next: error.next)
    }
  }

  private func readState(_ folder: StateFolder, ourself: PeerID) throws -> SavedState {
    do {
      let book = try folder.readPeers(ourself: ourself)
      let ledger = try folder.readInvites()
      return SavedState(
        book: book, ledger: ledger, cache: readCache(folder),
        entryRelay: EntryRelay(folder: folder, logger: logger).kept())
    } catch let damage as StateFolder.Damaged {
      throw StartFailure(damage, next: damage.next)
    } catch { throw StartFailure(error) }
  }

  private func readCache(_ folder: StateFolder) -> NodeSnapshot? {
    do { return try folder.readCache() } catch {
      logger.warning("the cache of records was not read", metadata: ["reason": "\(error)"])
      return nil
    }
  }

  private func openLoop(
    _ configuration: LightNodeConfiguration, _ identity: IdentityKey, _ state: SavedState,
    _ folder: StateFolder
  ) throws -> (loop: NodeLoop, device: TunDevice, port: Int) {
    do {
      let socket = try ListenSocket(folder: folder, logger: logger).open(configuration.listenPort)
      let device = try TunDevice(name: configuration.tunName)
      try device.configure(
        address: OverlayAddress(of: identity.keyHash.peerID), mtu: UInt32(DeviceMTU.first(configuration.mtu)))
      var node = NodeConfiguration(
        region: configuration.region, serviceType: configuration.meshServiceType,
        permitsLoopback: configuration.permitLoopback, stunServers: configuration.stunServers,
        localPort: socket.local.port)
      node.relayOffer = UInt32(clamping: configuration.relayOfferMbps)
      node.relayAdmission = configuration.relayAdmit
      node.relayHops = configuration.relayHops
      let loop = try NodeLoop(
        configuration: node,
        identity: identity, socket: socket, device: device, streamServer: try streamServer(configuration)
      ) { [logger] node, now, _ in
        for entry in state.book.entries {
          do throws(PeerRefusal) { try node.addPeer(PeerEntry(entry), now: now) } catch {
            logger.error(
              "a peer of the peer book was refused",
              metadata: ["peer.name": "\(entry.name)", "reason": "\(error)"])
          }
        }
        if let relay = state.entryRelay { node.setEntryRelay(relay) }
        if let cache = state.cache { node.restore(cache, now: now) }
      }
      return (loop, device, Int(socket.local.port))
    } catch { throw StartFailure(error) }
  }

  /// TLS streams on every address, if they are wanted.
  private func streamServer(_ configuration: LightNodeConfiguration) throws -> StreamServer? {
    guard configuration.relayStreamPort > 0 else { return nil }
    let kept = try StreamCertificate.kept(in: configuration.stateDirectory, now: Date())
    return StreamServer(
      endpoint: Endpoint(.v6(0), port: UInt16(configuration.relayStreamPort)),
      certificate: kept.certificate, privateKey: kept.privateKey)
  }

  private func reloadAtSignal(_ parts: Parts) async {
    for await _ in await UnixSignalsSequence(trapping: .sighup) {
      do {
        _ = try? ServiceNotification.reloading.send()
        let changes = try configuration.take(try reload())
        AdjustableLogHandler.setLevel(configuration.current.logLevel)
        if changes.isEmpty { logger.notice("configuration read again: nothing changed") }
        for change in changes {
          logger.notice(
            change.needsRestart
              ? "a key has changed and takes effect at the next start" : "a key has changed and is in effect",
            metadata: ["key": "\(change.key)", "old": "\(change.old)", "new": "\(change.new)"])
        }
        let offer = UInt32(clamping: configuration.current.relayOfferMbps)
        try? await parts.loop.perform { node, now, _ in node.setRelayOffer(offer, now: now) }
        parts.publisher.look()
        parts.watch.look()
      } catch {
        logger.error(
          "the configuration was not taken over; the old one stays in effect",
          metadata: ["reason": "\(error)"])
      }
      _ = try? ServiceNotification.ready.send()
    }
  }
}

/// What the state directory held at the start.
struct SavedState: Sendable {
  let book: PeerBook
  let ledger: InviteLedger
  let cache: NodeSnapshot?
  let entryRelay: KeyHash?
}
