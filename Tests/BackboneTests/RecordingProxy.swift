import NIOCore
import NIOPosix
import Synchronization

/// Passes bytes both ways between a client and a server on loopback, and keeps the server's first 4 KiB.
final class RecordingProxy: Sendable {
  static let keptBytes = 4_096

  private let kept = Mutex<[UInt8]>([])

  /// What the server said first.
  var answer: [UInt8] { kept.withLock { $0 } }

  func keep(_ bytes: some Sequence<UInt8>) {
    kept.withLock { $0.append(contentsOf: bytes.prefix(Self.keptBytes - $0.count)) }
  }

  /// Runs a proxy to `port` while `body` runs, which gets the proxy's own port.
  static func run(to port: Int, _ body: (RecordingProxy, Int) async throws -> Void) async throws {
    let proxy = RecordingProxy()
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { client in
        // Read only once the other end is connected: a channel becomes active after its initializer.
        ClientBootstrap(group: client.eventLoop)
          .channelInitializer { server in
            server.eventLoop.makeCompletedFuture {
              try server.pipeline.syncOperations.addHandler(Passing(to: client, keeping: proxy))
            }
          }
          .connect(host: "127.0.0.1", port: port)
          .flatMapThrowing { server in
            try client.pipeline.syncOperations.addHandler(Passing(to: server))
          }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    let result: Result<Void, any Error>
    do { result = .success(try await body(proxy, listener.localAddress?.port ?? 0)) } catch {
      result = .failure(error)
    }
    try await listener.close()
    try result.get()
  }

  private final class Passing: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let other: any Channel
    private let proxy: RecordingProxy?

    init(to other: any Channel, keeping proxy: RecordingProxy? = nil) {
      self.other = other
      self.proxy = proxy
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let buffer = unwrapInboundIn(data)
      proxy?.keep(buffer.readableBytesView)
      other.writeAndFlush(buffer, promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { other.close(promise: nil) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }
}
