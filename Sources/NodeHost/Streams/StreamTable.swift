import MeshWire
import NIOCore

/// The streams that stand, or are about to. Lives on one event loop.
final class StreamTable {
  private struct Stream {
    let handler: StreamHandler
    /// `nil` until TLS stands.
    var channel: (any Channel)?
    let prefix: IPAddress?
    var isOpened: Bool { prefix == nil }
  }

  private let inbox: any StreamInbox
  private let metrics: StreamMetrics
  private var streams: [StreamNumber: Stream] = [:]
  private var tally = StreamTally()
  /// Streams that are about to end because of what they showed.
  private var wrongCertificates: Set<StreamNumber> = []
  private var nextAccepted: UInt32 = 0
  private var isStopped = false

  init(inbox: any StreamInbox, metrics: StreamMetrics) {
    self.inbox = inbox
    self.metrics = metrics
  }

  // MARK: Beginnings and ends

  /// A name for a connection from there; `nil` when there are too many.
  func accept(from address: IPAddress) -> StreamNumber? {
    let prefix = address.limitPrefix
    guard !isStopped, tally.opened(prefix) else {
      metrics.count(.crowded)
      return nil
    }
    var hasher = Hasher()
    hasher.combine(prefix)
    let origin = UInt32(truncatingIfNeeded: hasher.finalize())
    repeat {
      nextAccepted = (nextAccepted &+ 1) & ~StreamNumber.acceptedBit
    } while streams[StreamNumber(number: nextAccepted | StreamNumber.acceptedBit, origin: origin)] != nil
    return StreamNumber(number: nextAccepted | StreamNumber.acceptedBit, origin: origin)
  }

  /// What ``accept(from:)`` gave a name to, or a core asked for (then without a prefix), is on its way.
  /// `false`: it may not be.
  func add(_ handler: StreamHandler, prefix: IPAddress? = nil) -> Bool {
    guard !isStopped, streams[handler.number] == nil else { return false }
    streams[handler.number] = Stream(handler: handler, channel: nil, prefix: prefix)
    metrics.record(streams: streams.count)
    return true
  }

  /// TLS stands; `false` when nobody wants the stream any more.
  func stands(_ handler: StreamHandler, on channel: any Channel) -> Bool {
    guard let stream = streams[handler.number], stream.handler === handler else { return false }
    streams[handler.number]?.channel = channel
    if stream.isOpened { inbox.post(.opened(handler.number)) }
    return true
  }

  func ended(_ handler: StreamHandler, _ reason: StreamMetrics.End) {
    guard let stream = streams[handler.number], stream.handler === handler else { return }
    ended(handler.number, reason)
  }

  /// A connection never came about, or is over.
  func ended(_ number: StreamNumber, _ reason: StreamMetrics.End) {
    guard let stream = streams.removeValue(forKey: number) else { return }
    if let prefix = stream.prefix { tally.closed(prefix) }
    metrics.count(wrongCertificates.remove(number) == nil ? reason : .wrongCertificate)
    metrics.record(streams: streams.count)
    inbox.post(.closed(number))
  }

  func showedWrongCertificate(_ number: StreamNumber) { wrongCertificates.insert(number) }

  func sawWrongCertificate(_ number: StreamNumber) -> Bool { wrongCertificates.contains(number) }

  func close(_ number: StreamNumber) {
    guard let stream = streams[number] else { return }
    if let channel = stream.channel { return stream.handler.close(channel) }
    // It still connects, or shakes hands: what it comes to will find that nobody knows it.
    ended(number, .local)
  }

  func stop() {
    isStopped = true
    for number in Array(streams.keys) { close(number) }
  }

  // MARK: Datagrams

  func received(_ datagrams: [[UInt8]], on number: StreamNumber) {
    let lost = inbox.post(streamed: datagrams.map { StreamDatagram(stream: number, bytes: $0) })
    metrics.count(.streamInboxFull, lost)
  }

  /// Writes datagrams, those of one stream together.
  func send(_ batch: [StreamDatagram]) {
    var position = 0
    while position < batch.count {
      let number = batch[position].stream
      var end = position + 1
      while end < batch.count, batch[end].stream == number { end += 1 }
      write(batch[position..<end], to: number)
      position = end
    }
  }

  private func write(_ datagrams: ArraySlice<StreamDatagram>, to number: StreamNumber) {
    guard let stream = streams[number], let channel = stream.channel, channel.isActive else {
      return metrics.count(.streamGone, datagrams.count)
    }
    // Above the high-water mark: the other end, or the network, takes less than is to be sent.
    guard channel.isWritable else { return metrics.count(.streamFull, datagrams.count) }
    var bytes = channel.allocator.buffer(
      capacity: datagrams.reduce(0) { $0 + FrameParser.headSize + $1.bytes.count })
    for datagram in datagrams {
      guard (1...FrameParser.largest).contains(datagram.bytes.count) else {
        metrics.count(.datagramTooBig, 1)
        continue
      }
      bytes.writeInteger(UInt16(datagram.bytes.count))
      bytes.writeBytes(datagram.bytes)
    }
    guard bytes.readableBytes > 0 else { return }
    stream.handler.sent(at: channel.eventLoop.now)
    channel.writeAndFlush(bytes, promise: nil)
  }
}
