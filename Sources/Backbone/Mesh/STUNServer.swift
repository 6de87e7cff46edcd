import Daemon
import Glibc
public import Logging
import MeshWire
public import Metrics
import NIOCore
import NIOPosix
public import ServiceLifecycle
import Synchronization

/// The STUN server: a socket for each address and port, one responder for all of them, one event loop.
public struct STUNServer: Service {
  /// How often the counters go to the metrics.
  static let countingInterval = Duration.seconds(5)

  private let desk: STUNDesk
  private let counts: STUNCounts
  private let channels: [any Channel]

  /// Where it listens; the ports are the real ones.
  let local: [SocketAddress]

  /// Opens the sockets; throws ``Failure``.
  public static func open(
    _ addresses: STUNAddresses, metrics: any MetricsFactory, logger: Logger, clock: BackboneClock = .system
  ) async throws -> STUNServer {
    let desk = STUNDesk(addresses, clock: clock)
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    var channels: [any Channel] = []
    for socket in STUNDesk.sockets(of: addresses) {
      do {
        let channel = try await DatagramBootstrap(group: loop)
          .channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
              try channel.pipeline.syncOperations.addHandler(STUNHandler(desk: desk, at: socket.place))
            }
          }
          .bind(host: socket.endpoint.address.description, port: Int(socket.endpoint.port)).get()
        desk.open(channel, at: socket.place)
        channels.append(channel)
      } catch {
        for channel in channels { try? await channel.close() }
        throw Failure(endpoint: socket.endpoint, code: (error as? IOError)?.errnoCode, reason: "\(error)")
      }
    }
    logger.notice(
      "STUN answers",
      metadata: [
        "stun.listen": "\(STUNDesk.sockets(of: addresses).map { "\($0.endpoint)" }.joined(separator: " "))"
      ])
    return STUNServer(desk: desk, channels: channels, metrics: metrics)
  }

  private init(desk: STUNDesk, channels: [any Channel], metrics: any MetricsFactory) {
    self.desk = desk
    self.channels = channels
    local = channels.compactMap(\.localAddress)
    counts = STUNCounts(factory: metrics)
  }

  public func run() async throws {
    await cancelWhenGracefulShutdown {
      while !Task.isCancelled {
        counts.take(desk.counters)
        try? await Task.sleep(for: Self.countingInterval)
      }
    }
    await close()
    counts.take(desk.counters)
  }

  /// Closes the sockets, of a server that doesn't run.
  func close() async {
    for channel in channels { try? await channel.close() }
  }

  /// Why there is no STUN server, for the operator.
  public struct Failure: Error, Sendable, CustomStringConvertible {
    let endpoint: Endpoint
    let code: Int32?
    let reason: String

    public var description: String {
      let words = code.map { SystemError(code: $0).description } ?? reason
      let advice =
        switch code {
        case EADDRINUSE?: "stop the program that has it, or give stun.ports others"
        case EADDRNOTAVAIL?: "stun.addresses are addresses of this machine; stun.announce may name others"
        default: "give stun.addresses and stun.ports others"
        }
      return "stun: UDP port \(endpoint.port) of \(endpoint.address) cannot be opened: \(words): \(advice)"
    }
  }
}

/// Hands what comes in at one socket to the desk.
private final class STUNHandler: ChannelInboundHandler {
  typealias InboundIn = AddressedEnvelope<ByteBuffer>
  typealias OutboundOut = AddressedEnvelope<ByteBuffer>

  private let desk: STUNDesk
  private let place: STUNPlace

  init(desk: STUNDesk, at place: STUNPlace) {
    self.desk = desk
    self.place = place
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let envelope = unwrapInboundIn(data)
    desk.take(Array(buffer: envelope.data), from: envelope.remoteAddress, at: place)
  }

  /// Errors of the network, such as an unreachable client, end nothing.
  func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}

/// The counters as metrics.
private final class STUNCounts: Sendable {
  private let counters: [Counter]
  private let told = Mutex(STUNDesk.Counters.outcomes.map { _ in 0 })

  init(factory: any MetricsFactory) {
    counters = STUNDesk.Counters.outcomes.map {
      Counter(label: "shadowmesh_backbone_stun_requests", dimensions: [("outcome", $0)], factory: factory)
    }
  }

  func take(_ counts: STUNDesk.Counters) {
    told.withLock { told in
      for (counter, (now, before)) in zip(counters, zip(counts.values, told)) where now > before {
        counter.increment(by: now - before)
      }
      told = counts.values
    }
  }
}
