import BackboneAPI
import Foundation
import HTTPTypes
import MeshWire
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NodeHost

/// Stands between a connection's HTTP codec and the routes: answers what isn't HTTP, and ends connections
/// whose client takes too long, or whose prefix has too many.
///
/// An answer to a request that hasn't arrived whole is the last one of its connection, unless what is missing
/// is short. What comes after a last answer is thrown away for ``Patience/afterLastAnswer``, because closing
/// at once would reset the connection and take the answer with it.
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPRequestPart
  typealias InboundOut = HTTPRequestPart
  typealias OutboundIn = HTTPResponsePart
  typealias OutboundOut = HTTPResponsePart

  /// How long a client may take.
  enum Patience {
    /// To begin a request, and to send its head.
    static let idle = TimeAmount.seconds(60)
    /// The same, when connections are scarce.
    static let idleWhenCrowded = TimeAmount.seconds(5)
    /// To send a body.
    static let body = TimeAmount.seconds(30)
    /// To take an answer, with the time that it takes us to give it.
    static let answer = TimeAmount.seconds(60)
    /// To close after the last answer, or to finish a body that was answered already.
    static let afterLastAnswer = TimeAmount.seconds(5)
    /// For anything, once the backbone is told to stop.
    static let whenStopping = TimeAmount.seconds(2)
  }

  /// A body of which more is missing when it is answered isn't waited for.
  static let missingBody = 64 << 10

  private let tally: ConnectionTally
  private var address: IPAddress?
  /// Its prefix has as many connections as it may.
  private var isSurplus = false
  private var deadline: Scheduled<Void>?
  /// Since when the client is waited for.
  private var since = NIODeadline.uptimeNanoseconds(0)
  private var head: HTTPRequest?
  private var bodyRead = 0
  /// A head has come, and not yet the end of its body.
  private var isReading = false
  private var unanswered = 0
  private var timedOut = false
  private var isStopping = false
  /// The last answer is written or on its way.
  private var isEnding = false
  /// What came after requests that are still to be answered is not HTTP.
  private var pendingRefusal: Refusal?

  init(tally: ConnectionTally) { self.tally = tally }

  func handlerAdded(context: ChannelHandlerContext) {
    address = context.remoteAddress.flatMap { IPAddress($0) }
    isSurplus = !tally.opened(from: address)
    since = context.eventLoop.now
    watch(context)
  }

  func channelActive(context: ChannelHandlerContext) {
    context.fireChannelActive()
    guard isSurplus else { return }
    tally.count(.crowdedPrefix)
    context.close(promise: nil)
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    deadline?.cancel()
    tally.closed(from: address)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !isEnding else { return }
    switch unwrapInboundIn(data) {
    case .head(let request):
      head = request
      bodyRead = 0
      isReading = true
      unanswered += 1
      since = context.eventLoop.now
      if request.method != .get, unanswered == 1 { encourage(request, context) }
    case .body(let bytes): bodyRead += bytes.readableBytes
    case .end: isReading = false
    }
    context.fireChannelRead(data)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard !isEnding else { return }
    guard let refusal = Self.refusal(for: error) else {
      context.fireErrorCaught(error)
      return
    }
    // Only the first is answered.
    guard pendingRefusal == nil else { return }
    tally.count(refusal.problem.kind == .headersTooLarge ? .headersTooLarge : .notHTTP)
    switch (unanswered, isReading) {
    case (0, false): answer(refusal, context)
    case (0, true): context.close(promise: nil)
    case (_, true): context.fireErrorCaught(refusal)
    case (_, false): pendingRefusal = refusal
    }
  }

  /// The answer to what isn't a request as HTTP/1.1 wants it; `nil` for errors of another kind.
  private static func refusal(for error: any Error) -> Refusal? {
    switch error {
    case let refusal as Refusal: refusal
    case HTTPParserError.headerOverflow: Refusal(.headersTooLarge)
    case is HTTPParserError: Refusal(.malformedRequest, detail: "not HTTP/1.1")
    default: nil
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is ChannelShouldQuiesceEvent {
      isStopping = true
      since = context.eventLoop.now
      deadline?.cancel()
      watch(context)
    }
    if isEnding, case .inputClosed? = event as? ChannelEvent { context.close(promise: nil) }
    context.fireUserInboundEventTriggered(event)
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    switch unwrapOutboundIn(data) {
    case .head(var response) where isReading && !willEndSoon && response.status.kind != .informational:
      response.headerFields[.connection] = "close"
      context.write(wrapOutboundOut(.head(response)), promise: promise)
      isEnding = true
      since = context.eventLoop.now
    case .end:
      unanswered -= 1
      since = context.eventLoop.now
      context.write(data, promise: promise)
      if isEnding {
        end(context)
      } else if unanswered == 0, let pendingRefusal {
        answer(pendingRefusal, context)
      }
    default: context.write(data, promise: promise)
    }
  }

  func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
    if mode == .output, !isEnding {
      isEnding = true
      since = context.eventLoop.now
    }
    context.close(mode: mode, promise: promise)
  }

  /// Tells a client that waits for it to send its body (RFC 9110 §10.1.1).
  private func encourage(_ request: HTTPRequest, _ context: ChannelHandlerContext) {
    guard request.headerFields[.expect]?.lowercased() == "100-continue" else { return }
    context.writeAndFlush(wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
  }

  /// Whether so little of the body is missing that its end is worth waiting for.
  private var willEndSoon: Bool {
    guard !timedOut, pendingRefusal == nil,
      let length = head?.headerFields[.contentLength].flatMap({ Int($0) })
    else { return false }
    return length - bodyRead <= Self.missingBody
  }

  /// Answers on the routes' behalf, and ends the connection.
  private func answer(_ refusal: Refusal, _ context: ChannelHandlerContext) {
    let body = RegistryResponder.body(of: refusal.problem)
    let fields: HTTPFields = [
      .contentType: Problem.contentType, .contentLength: "\(body.readableBytes)", .cacheControl: "no-store",
      .connection: "close",
    ]
    let status = HTTPResponse.Status(code: refusal.problem.status)
    isEnding = true
    context.write(wrapOutboundOut(.head(HTTPResponse(status: status, headerFields: fields))), promise: nil)
    context.write(wrapOutboundOut(.body(body)), promise: nil)
    context.write(wrapOutboundOut(.end(nil)), promise: nil)
    end(context)
  }

  /// Closes our half once all is written; the other when the client does, or after a while.
  private func end(_ context: ChannelHandlerContext) {
    since = context.eventLoop.now
    context.flush()
    context.close(mode: .output, promise: nil)
  }
}

// MARK: - Time

extension ConnectionGuard {
  private var patience: TimeAmount {
    isStopping ? min(usualPatience, Patience.whenStopping) : usualPatience
  }

  private var usualPatience: TimeAmount {
    if isEnding || (isReading && unanswered == 0) { return Patience.afterLastAnswer }
    if isReading { return Patience.body }
    if unanswered > 0 { return Patience.answer }
    return tally.isCrowded ? Patience.idleWhenCrowded : Patience.idle
  }

  /// Looks again when the client's time is up, and every few seconds because patience changes.
  private func watch(_ context: ChannelHandlerContext) {
    let now = context.eventLoop.now
    let due = max(now + .milliseconds(1), min(since + patience, now + Patience.afterLastAnswer))
    deadline = context.eventLoop.assumeIsolated().scheduleTask(deadline: due) { [self] in
      if context.eventLoop.now >= since + patience { expire(context) }
      if context.channel.isActive { watch(context) }
    }
  }

  private func expire(_ context: ChannelHandlerContext) {
    if isEnding {
      context.close(promise: nil)
    } else if isReading, unanswered > 0, !timedOut {
      tally.count(.slowBody)
      timedOut = true
      since = context.eventLoop.now
      context.fireErrorCaught(Refusal(.requestTimeout))
    } else {
      tally.count(isReading ? .slowBody : unanswered > 0 ? .slowReader : .idle)
      context.close(promise: nil)
    }
  }
}
