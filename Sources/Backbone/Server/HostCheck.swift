import BackboneAPI
import NIOCore
import NIOHTTP1
import NIOHTTPTypesHTTP1

/// Refuses a request that doesn't name its host, or names it twice (RFC 9112 §3.2): a proxy in front may
/// have taken it for another.
///
/// Stands before the codec to HTTP types, which makes the first Host an authority. Fires ``Refusal`` for the
/// ``ConnectionGuard`` to answer, and drops what follows: that answer is the connection's last.
final class HostCheck: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias InboundOut = HTTPServerRequestPart

  private var hasRefused = false

  /// Puts one in its place in a pipeline that is complete.
  static func add(to channel: any Channel) throws {
    let pipeline = channel.pipeline.syncOperations
    let codec = try pipeline.handler(type: HTTP1ToHTTPServerCodec.self)
    try pipeline.addHandler(HostCheck(), position: .before(codec))
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !hasRefused else { return }
    if case .head(let head) = unwrapInboundIn(data), !Self.namesItsHost(head) {
      hasRefused = true
      context.fireErrorCaught(Refusal(.malformedRequest, detail: "expected one Host field"))
    } else {
      context.fireChannelRead(data)
    }
  }

  /// Whether there is one Host field; HTTP/1.0 didn't have it yet.
  static func namesItsHost(_ head: HTTPRequestHead) -> Bool {
    var count = 0
    for (name, _) in head.headers where name.utf8.count == 4 && name.lowercased() == "host" { count += 1 }
    return count == 1 || (count == 0 && head.version == .http1_0)
  }
}
