import Daemon
public import Logging
public import MeshCrypto
import MeshNode
public import MeshWire
public import Metrics
import NodeHost
public import ServiceLifecycle

/// The backbone as a node among nodes: it keeps SMH/1 sessions with those that want to be introduced to each
/// other. It has no device and no peers, so that no packet of a user can pass through it.
public struct MeshEndpoint: Service {
  /// How often the sessions are counted for the metrics.
  static let countingInterval = Duration.seconds(5)

  /// Where it listens; the port is the real one when 0 was asked for.
  public let local: Endpoint

  private let loop: NodeLoop
  private let sessions: Gauge
  private let introductions: Counter
  private let logger: Logger

  /// Opens the socket; throws ``Failure``.
  public init(
    listen: Endpoint, region: Region, identity: IdentityKey, metrics: any MetricsFactory, logger: Logger
  ) throws {
    self.logger = logger
    do {
      let socket = try UDPSocket(port: listen.port, address: listen.address)
      local = socket.local
      loop = try NodeLoop(
        configuration: NodeConfiguration(
          region: region, serviceType: .backbone, permitsLoopback: listen.address.isLoopback,
          keepsPeersConnected: false),
        identity: identity, socket: socket, device: try NullDevice(), metrics: metrics)
    } catch let error as UDPSocketError {
      throw Failure(listen: listen, reason: error.cause.description)
    } catch {
      throw Failure(listen: listen, reason: "\(error)")
    }
    sessions = Gauge(label: "shadowmesh.control_sessions", factory: metrics)
    introductions = Counter(
      label: "shadowmesh.introductions", dimensions: [("part", "passed")], factory: metrics)
  }

  /// Why there is no endpoint, for the operator.
  public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
    public let listen: Endpoint
    public let reason: String

    public var description: String {
      "cannot listen on \(listen.address) UDP port \(listen.port): \(reason): stop the program that listens "
        + "there, or choose another with udp.listen (off for none)"
    }
  }

  public func run() async throws {
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask {
        try await withGracefulShutdownHandler {
          try await loop.run()
        } onGracefulShutdown: {
          loop.stop()
        }
      }
      tasks.addTask { await answerNotices() }
      tasks.addTask { await count() }
      // Whichever ends first ends the others; only the loop ends by itself.
      defer {
        loop.stop()
        tasks.cancelAll()
      }
      try await tasks.next()
    }
  }

  /// Reads what the node tells, until the loop has ended.
  private func answerNotices() async {
    for await notice in loop.notices {
      switch notice {
      case .askBackbone(let id, _):
        // Nobody asks here for records: that is what the registry is for.
        _ = try? await loop.perform { node, now, _ in node.backboneAnswered(id, .notFound, now: now) }
      case .event(.peerConnected(let peer, _, let endpoint, _)):
        logger.trace("session opened", metadata: ["peer.id": "\(peer)", "path.endpoint": "\(endpoint)"])
      case .event(.peerLost(let peer, let reason)):
        logger.trace("session ended", metadata: ["peer.id": "\(peer)", "reason": "\(reason)"])
      case .event: break
      }
    }
  }

  private func count() async {
    var passed: UInt64 = 0
    while !Task.isCancelled {
      guard let status = try? await loop.perform({ node, now, _ in node.status(now: now) }) else { return }
      sessions.record(status.controlSessions)
      introductions.increment(by: status.counters.introductionsPassed - passed)
      passed = status.counters.introductionsPassed
      try? await Task.sleep(for: Self.countingInterval)
    }
  }
}
