import Logging
import MeshPaths
import MeshWire
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization

/// Keeps a port of the router mapped to this node: drives `PortMapping` with a socket, HTTP, the kernel's
/// routes and a clock, and removes the mapping when the daemon stops.
///
/// It says what it has to say by `announce` and `learnRouter`, and shows the rest as ``findings``.
final class PortMappingService: Service, CustomStringConvertible {
  /// How often the kernel's routes are looked at.
  static let watch: Duration = .seconds(5)
  /// Events that may wait. More are dropped: datagrams that come faster than they are looked at.
  static let backlog = 256

  private enum Event: Sendable {
    case route(GatewayRoute?)
    case datagram([UInt8], from: Endpoint)
    case answer(GatewayAnswer, to: UInt32)
    case tick
    case stop
  }

  let description = "port mapping"
  private let configuration: LiveConfiguration
  private let port: UInt16
  private let announce: @Sendable (Endpoint?) async -> Void
  private let learnRouter: @Sendable (IPAddress?) async -> Void
  private let route: @Sendable (_ tunName: String) -> GatewayRoute?
  private let logger: Logger
  private let shown = Mutex(PortMappingFindings())

  /// - Parameters:
  ///   - port: the UDP port that is to be reached.
  ///   - route: the default route now.
  ///   - announce: told each endpoint that leads here, and `nil` when none does any more.
  ///   - learnRouter: told the router's own outer address, whenever it is another one; `nil`: not known.
  init(
    configuration: LiveConfiguration, port: UInt16, logger: Logger,
    route: @escaping @Sendable (_ tunName: String) -> GatewayRoute? = { DefaultRoute.current(except: $0) },
    announce: @escaping @Sendable (Endpoint?) async -> Void,
    learnRouter: @escaping @Sendable (IPAddress?) async -> Void
  ) {
    self.configuration = configuration
    self.port = port
    self.logger = logger
    self.route = route
    self.announce = announce
    self.learnRouter = learnRouter
  }

  /// What is known now.
  var findings: PortMappingFindings {
    var findings = shown.withLock { $0 }
    if let reason = reasonToAskNobody { findings.obstacle = reason }
    return findings
  }

  private var reasonToAskNobody: PortMappingFindings.Obstacle? {
    let configuration = configuration.current
    if configuration.portMapping == .off { return .switchedOff }
    return configuration.endpoints.isEmpty ? nil : .endpointsConfigured
  }

  /// Runs until the group shuts down, and until the mapping is removed then.
  func run() async {
    let (events, feed) = AsyncStream.makeStream(
      of: Event.self, bufferingPolicy: .bufferingOldest(Self.backlog))
    let http = GatewayHTTP()
    await withDiscardingTaskGroup { group in
      group.addTask { await self.watchRoutes(feed) }
      group.addTask { await self.waitForShutdown(feed) }
      var driver = Driver(port: port)
      for await event in events {
        let actions = await take(event, &driver, feed)
        for case .request(let request) in actions {
          group.addTask { feed.yield(.answer(await http.answer(to: request), to: request.number)) }
        }
        await tell(actions, &driver)
        if actions.contains(.finished) { break }
        driver.arm { feed.yield(.tick) }
      }
      // Cancelled, because another part failed: there is no time to wait for answers.
      if Task.isCancelled { driver.leave() }
      driver.close()
      group.cancelAll()
    }
    await http.shutdown()
  }

  private func watchRoutes(_ feed: AsyncStream<Event>.Continuation) async {
    while !Task.isCancelled {
      feed.yield(.route(reasonToAskNobody == nil ? route(configuration.current.tunName) : nil))
      try? await Task.sleep(for: Self.watch)
    }
  }

  private func waitForShutdown(_ feed: AsyncStream<Event>.Continuation) async {
    try? await gracefulShutdown()
    // Again and again, for an event may be dropped.
    while !Task.isCancelled {
      feed.yield(.stop)
      try? await Task.sleep(for: .milliseconds(200))
    }
  }

  private func take(
    _ event: Event, _ driver: inout Driver, _ feed: AsyncStream<Event>.Continuation
  ) async -> [PortMappingAction] {
    var actions: [PortMappingAction] = []
    let now = driver.now
    switch event {
    case .route(let route):
      await open(for: route, &driver, feed)
      driver.core.use(driver.socket == nil ? nil : route, now: now, into: &actions)
    case .datagram(let bytes, let source):
      driver.core.receive(bytes[...], from: source, now: now, into: &actions)
    case .answer(let answer, let number): driver.core.receive(answer, to: number, now: now, into: &actions)
    case .tick: driver.core.advance(now: now, into: &actions)
    case .stop: driver.core.stop(now: now, into: &actions)
    }
    return actions
  }

  /// A socket on the route's own address, made anew when that has changed or an error has closed it.
  private func open(
    for route: GatewayRoute?, _ driver: inout Driver, _ feed: AsyncStream<Event>.Continuation
  ) async {
    if let socket = driver.socket, socket.isOpen, socket.local == route?.local { return }
    driver.close()
    guard let route else { return }
    do {
      driver.socket = try await GatewaySocket(local: route.local) { feed.yield(.datagram($0, from: $1)) }
    } catch {
      logger.debug("no socket to ask the router from", metadata: ["reason": "\(error)"])
    }
  }

  private func tell(_ actions: [PortMappingAction], _ driver: inout Driver) async {
    let now = driver.core.findings
    let before = shown.withLock { shown in
      defer { shown = now }
      return shown
    }
    for action in actions {
      switch action {
      case .send(let bytes, let endpoint): driver.socket?.send(bytes, to: endpoint)
      case .mapped(let mapped):
        logger.notice("the router maps a port to this node", metadata: ["mapping.protocol": "\(mapped.by)"])
        logger.debug("mapped", metadata: ["endpoint": "\(mapped.endpoint)"])
        await announce(mapped.endpoint)
      case .lost(.stopped): break  // The record goes with the node.
      case .lost: await announce(nil)
      case .request, .finished: break
      }
    }
    if now.routerAddress != before.routerAddress { await learnRouter(now.routerAddress) }
    if let obstacle = now.obstacle, obstacle != before.obstacle {
      logger.info("no port of the router leads to this node", metadata: ["reason": "\(obstacle)"])
    }
  }
}

/// The core with its socket, clock and timer.
private struct Driver {
  var core: PortMapping
  var socket: GatewaySocket?
  private let origin = ContinuousClock.now
  private let loop = MultiThreadedEventLoopGroup.singleton.next()
  private var timer: Scheduled<Void>?

  init(port: UInt16) {
    var random = SystemRandomNumberGenerator()
    let bytes = (0..<MappingNonce.size).map { _ in UInt8.random(in: .min ... .max, using: &random) }
    guard let nonce = MappingNonce(bytes) else { preconditionFailure("as many bytes as a nonce has") }
    core = PortMapping(port: port, nonce: nonce)
  }

  var now: Instant { Instant(nanoseconds: 1 << 40) + (ContinuousClock.now - origin) }

  /// Has `tick` called at the core's next deadline.
  mutating func arm(_ tick: @escaping @Sendable () -> Void) {
    timer?.cancel()
    timer = core.nextDeadline.map { deadline in
      loop.scheduleTask(in: .nanoseconds(max(0, (deadline - now).wholeNanoseconds)), tick)
    }
  }

  /// Sends what removes the mapping, once.
  mutating func leave() {
    var actions: [PortMappingAction] = []
    core.stop(now: now, into: &actions)
    for case .send(let bytes, let endpoint) in actions { socket?.send(bytes, to: endpoint) }
  }

  mutating func close() {
    timer?.cancel()
    socket?.close()
    socket = nil
  }
}
