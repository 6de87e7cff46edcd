import MeshWire
import NIOCore
import NIOSSL
import NIOTLS

/// One end of one TLS stream: cuts its bytes into datagrams, and ends it when the other end is too slow,
/// silent, or speaks something else. Lives on the event loop of its channel.
final class StreamHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  /// How long the other end may take.
  struct Patience: Sendable {
    /// To finish the TLS handshake, from the TCP connection on.
    var handshake = TimeAmount.seconds(5)
    /// To finish a datagram that it began.
    var frame = TimeAmount.seconds(5)
    /// To send anything, and to be sent anything: sessions keep alive every 25 s, and who has none has no use
    /// for a stream.
    var idle = TimeAmount.seconds(90)
  }

  let number: StreamNumber
  private let owner: StreamTable
  private let patience: Patience
  private var parser = FrameParser()
  private var received: [[UInt8]] = []
  private var watch: Scheduled<Void>?
  private var isUp = false
  private var end = StreamMetrics.End.remote
  private var begun = NIODeadline.uptimeNanoseconds(0)
  private var lastReceived = NIODeadline.uptimeNanoseconds(0)
  private var lastSent = NIODeadline.uptimeNanoseconds(0)
  /// Since when a datagram isn't whole.
  private var insideSince: NIODeadline?

  init(_ number: StreamNumber, owner: StreamTable, patience: Patience) {
    self.number = number
    self.owner = owner
    self.patience = patience
  }

  func handlerAdded(context: ChannelHandlerContext) {
    begun = context.eventLoop.now
    look(context)
  }

  func handlerRemoved(context: ChannelHandlerContext) { watch?.cancel() }

  func channelInactive(context: ChannelHandlerContext) {
    watch?.cancel()
    owner.ended(self, isUp ? end : end == .remote ? .handshake : end)
    context.fireChannelInactive()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .handshakeCompleted? = event as? TLSUserEvent, !isUp {
      isUp = true
      lastReceived = context.eventLoop.now
      lastSent = lastReceived
      if !owner.stands(self, on: context.channel) { close(context, .local) }
    }
    context.fireUserInboundEventTriggered(event)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let bytes = unwrapInboundIn(data)
    guard end == .remote else { return }
    do throws(FramingFailure) { try parser.take(bytes.readableBytesView, into: &received) } catch {
      deliver(context)
      close(context, .badFrame)
    }
  }

  private func deliver(_ context: ChannelHandlerContext) {
    guard !received.isEmpty else { return }
    lastReceived = context.eventLoop.now
    insideSince = nil
    owner.received(received, on: number)
    received.removeAll(keepingCapacity: true)
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    deliver(context)
    if !parser.isInside {
      insideSince = nil
    } else if insideSince == nil {
      insideSince = context.eventLoop.now
    }
    context.fireChannelReadComplete()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    close(context, owner.sawWrongCertificate(number) ? .wrongCertificate : end)
  }

  /// Datagrams went out.
  func sent(at now: NIODeadline) { lastSent = now }

  /// Ends the stream from our side.
  func close(_ channel: any Channel) {
    end = .local
    channel.close(promise: nil)
  }

  private func close(_ context: ChannelHandlerContext, _ reason: StreamMetrics.End) {
    end = reason
    context.close(promise: nil)
  }

  /// What has taken too long, if anything.
  private func overdue(_ now: NIODeadline) -> StreamMetrics.End? {
    guard isUp else { return now >= begun + patience.handshake ? .handshake : nil }
    if let insideSince, now >= insideSince + patience.frame { return .slow }
    return now >= min(lastReceived, lastSent) + patience.idle ? .idle : nil
  }

  /// Looks a few times within each span, so that nobody is given much more than it.
  private func look(_ context: ChannelHandlerContext) {
    let pause = TimeAmount.nanoseconds(min(patience.handshake, patience.frame).nanoseconds / 4)
    watch = context.eventLoop.assumeIsolated().scheduleTask(in: pause) { [self] in
      if let reason = overdue(context.eventLoop.now) { close(context, reason) } else { look(context) }
    }
  }
}
