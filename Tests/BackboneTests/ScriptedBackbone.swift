import BackboneAPI
import Foundation
import MeshCrypto
import MeshWire
import NIOCore
import NIOHTTP1
import NIOPosix

/// A server on loopback that answers as a test tells it, well or badly.
struct ScriptedBackbone: Sendable {
  /// The body for a path.
  var bodies: [String: [UInt8]] = [:]
  /// Between the bytes of a body; `nil` to send it at once.
  var pause: TimeAmount?

  /// Runs the server while `body` runs, which gets its address.
  func run(_ body: (String) async throws -> Void) async throws {
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.configureHTTPServerPipeline()
          try channel.pipeline.syncOperations.addHandler(Answering(script: self))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    let result: Result<Void, any Error>
    do { result = .success(try await body("http://127.0.0.1:\(listener.localAddress?.port ?? 0)")) } catch {
      result = .failure(error)
    }
    try await listener.close()
    try result.get()
  }

  /// A backbone whose logins end with `nodes`.
  static func logins(with nodes: SignedNodes, now: WallTime) throws -> ScriptedBackbone {
    let challenge = ChallengeAnswer(
      challenge: Array(repeating: 0, count: 32), timestamp: now, expiresAt: now + .seconds(60))
    let answer = VerifyAnswer(token: "x", expiresAt: now + .seconds(60), nodes: nodes)
    return ScriptedBackbone(bodies: [
      Route.challenge.rawValue: Array(challenge.json.utf8),
      Route.verify.rawValue: Array(try JSONEncoder().encode(answer)),
    ])
  }

  private final class Answering: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let script: ScriptedBackbone
    private var path = ""

    init(script: ScriptedBackbone) { self.script = script }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      switch unwrapInboundIn(data) {
      case .head(let head): path = head.uri
      case .body: break
      case .end: answer(context)
      }
    }

    private func answer(_ context: ChannelHandlerContext) {
      let body = script.bodies[path] ?? []
      let fields: HTTPHeaders = ["content-type": "application/json", "content-length": "\(body.count)"]
      let head = HTTPResponseHead(version: .http1_1, status: .ok, headers: fields)
      context.writeAndFlush(wrapOutboundOut(.head(head)), promise: nil)
      if let pause = script.pause {
        trickle(body[...], pause, context)
      } else {
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
      }
    }

    private func trickle(_ body: ArraySlice<UInt8>, _ pause: TimeAmount, _ context: ChannelHandlerContext) {
      guard context.channel.isActive else { return }
      guard let byte = body.first else {
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        return
      }
      context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: [byte])))), promise: nil)
      context.eventLoop.assumeIsolated().scheduleTask(in: pause) { [self] in
        trickle(body.dropFirst(), pause, context)
      }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }
}
