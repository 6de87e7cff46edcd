import BackboneAPI
import Daemon
import Logging
import MeshCrypto
import MeshNode
import MeshWire
import NodeHost
import ServiceLifecycle

/// The daemon's parts, made in order and connected.
struct Parts: Sendable {
  /// How often the cache of records is saved, and how often what the disk refused is tried again.
  static let saveInterval: Duration = .seconds(300)
  static let retryInterval: Duration = .seconds(30)

  let loop: NodeLoop
  let membership: Membership
  let session: BackboneSession
  let endpoints: OwnEndpoints
  let publisher: RecordPublisher
  let relays: RelayDirectory
  let watch: AddressWatch
  let mapping: PortMappingService
  let reader: NoticeReader
  let controlServer: ControlServer
  let folder: StateFolder
  let logger: Logger
  private let configuration: LiveConfiguration

  init(
    configuration live: LiveConfiguration, identity: IdentityKey, folder: StateFolder, state: SavedState,
    loop: NodeLoop, mtu: DeviceMTU, listenPort: Int, logger: Logger
  ) throws {
    let configuration = live.current
    self.configuration = live
    self.loop = loop
    self.folder = folder
    self.logger = logger
    membership = Membership(
      book: state.book, ledger: state.ledger, table: loop, folder: folder, logger: logger)
    session = BackboneSession(
      url: configuration.backboneURL, connection: try Self.connection(configuration), identity: identity,
      logger: logger, wall: { HostClock.wall })
    endpoints = OwnEndpoints(configuration: live, listenPort: listenPort)
    publisher = RecordPublisher(
      identity: identity, configuration: live, endpoints: endpoints, folder: folder,
      membership: membership, session: session, loop: loop, logger: logger)
    relays = RelayDirectory(region: configuration.region, session: session, logger: logger) { [loop] in
      await loop.take(relays: $0)
    }
    watch = AddressWatch(own: endpoints, logger: logger) { [loop, publisher] in
      await loop.take(ownEndpoints: $0, hasMoved: $1)
      publisher.look()
    }
    mapping = PortMappingService(
      configuration: live, port: UInt16(clamping: listenPort), logger: logger,
      announce: { [endpoints, publisher, watch] in
        endpoints.set(.mapped, $0.map { [$0] } ?? [])
        watch.look()
        publisher.look()
      },
      learnRouter: { [loop] address in
        try? await loop.perform { node, _, _ in node.setRouterAddress(address) }
      })
    reader = NoticeReader(
      loop: loop, membership: membership, session: session, endpoints: endpoints, publisher: publisher,
      mtu: mtu, entryRelay: EntryRelay(folder: folder, logger: logger), logger: logger
    ) { [relays] in relays.look() }
    let desk = ControlDesk(
      identity: identity.keyHash, configuration: live, listenPort: listenPort,
      started: ContinuousClock.now, loop: loop, membership: membership, session: session,
      publisher: publisher, mapping: mapping, reader: reader, mtu: mtu, logger: logger)
    controlServer = ControlServer(
      socket: ControlSocket(
        path: configuration.controlSocket, group: configuration.controlGroup, logger: logger),
      logger: logger
    ) { try await desk.answer($0, emit: $1) }
  }

  private static func connection(_ configuration: LightNodeConfiguration) throws -> BackboneClient? {
    guard let url = configuration.backboneURL else { return nil }
    do {
      let invite = try configuration.backboneInviteFile.map {
        String(decoding: try FirstLine.read($0, for: "backbone_invite_file"), as: UTF8.self)
      }
      if let path = configuration.backboneCAFile, let reason = FirstLine.obstacle(to: path, isSecret: false) {
        throw FirstLine.Failure(key: "backbone_ca_file", path: path, reason: reason)
      }
      return try BackboneClient(
        configuration: BackboneClientConfiguration(
          url: url, region: configuration.region, backboneKey: configuration.backboneKey,
          caFile: configuration.backboneCAFile, allowPlainHTTP: configuration.allowPlainHTTP, invite: invite))
    } catch { throw LightNodeDaemon.StartFailure(error) }
  }

  /// Lets each part hear of what it must react to.
  func connect() async {
    await membership.notifyChange { [publisher] in publisher.look() }
    await session.notifyClockOffset { [loop, publisher] offset, hasMoved in
      try? await loop.perform { node, now, _ in node.setClockOffset(offset, now: now) }
      if hasMoved { await publisher.renew() }
    }
    await session.notifyNodes { [loop, relays, configuration] nodes in
      await loop.take(backbones: nodes)
      if configuration.current.stunServers.isEmpty { await loop.take(stunServers: nodes.compactMap(\.stun)) }
      relays.look()
    }
  }

  /// Runs until it is cancelled.
  func saveNowAndThen() async throws {
    var saved = ContinuousClock.now
    while !Task.isCancelled {
      try await Task.sleep(for: Self.retryInterval)
      await membership.retryPutOff()
      guard ContinuousClock.now - saved >= Self.saveInterval else { continue }
      saved = ContinuousClock.now
      await save()
    }
  }

  /// Writes the cache and the last endpoints.
  func save() async {
    await membership.savePutOff()
    do {
      let snapshot = try await loop.perform { node, now, _ in node.snapshot(now: now) }
      try folder.write(snapshot)
    } catch {
      logger.error("the cache was not saved", metadata: ["reason": "\(error)"])
    }
  }
}

/// Runs a part until the group shuts down.
struct Piece: Service, CustomStringConvertible {
  let description: String
  private let body: @Sendable () async throws -> Void

  init(_ name: String, _ body: @escaping @Sendable () async throws -> Void) {
    description = name
    self.body = body
  }

  func run() async throws {
    do {
      try await cancelWhenGracefulShutdown { try await body() }
    } catch is CancellationError {}
  }
}

/// The loop and the reader of its notices. At shutdown the state is saved before the loop ends: the group
/// shuts services down in reverse order, so this one, the first, goes last.
struct LoopService: Service, CustomStringConvertible {
  let parts: Parts
  var description: String { "node loop" }

  func run() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await parts.loop.run() }
      group.addTask { await parts.reader.run() }
      group.addTask {
        // That the loop has ended is its own to tell, with the reason.
        do { try await parts.membership.restoreInvitations() } catch NodeLoopError.stopped {}
      }
      group.addTask {
        // Saved too when another service failed and this one is cancelled.
        try? await gracefulShutdown()
        _ = try? ServiceNotification.stopping.send()
        await parts.save()
        await parts.session.close()
        parts.loop.stop()
      }
      defer { group.cancelAll() }
      try await group.waitForAll()
    }
  }
}
