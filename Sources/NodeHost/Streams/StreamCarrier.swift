import MeshWire

/// A datagram that goes into, or came out of, a TLS stream.
struct StreamDatagram: Sendable, Hashable {
  let stream: StreamNumber
  let bytes: [UInt8]
}

/// What has become of a stream.
enum StreamChange: Sendable, Hashable {
  /// One that was asked for stands: its other end showed the certificate that was named.
  case opened(StreamNumber)
  /// It ended, or never stood.
  case closed(StreamNumber)
}

/// What the loop asks of whoever keeps the TLS streams. Calls return at once and may come from any thread;
/// what comes of them goes to the ``StreamInbox``.
protocol StreamCarrier: Sendable {
  /// Sends datagrams, each on its stream, in order. What a stream does not take at once is dropped and
  /// counted: this is a datagram service.
  func send(_ batch: [StreamDatagram])
  /// Opens a stream to whoever shows a certificate with this SHA-256 there.
  func open(_ stream: StreamNumber, to endpoint: Endpoint, certificate: [UInt8])
  func close(_ stream: StreamNumber)
  /// Ends all of them, and accepts no more.
  func stop()
}

/// Where streams hand in what they receive. Calls return at once and may come from any thread.
protocol StreamInbox: Sendable {
  /// Takes datagrams, in order; returns how many there was no room for.
  func post(streamed datagrams: [StreamDatagram]) -> Int
  func post(_ change: StreamChange)
}

extension StreamNumber {
  /// The numbers of streams that were accepted have the highest bit; those of streams that a core opens
  /// don't.
  static let acceptedBit: UInt32 = 1 << 31
}
