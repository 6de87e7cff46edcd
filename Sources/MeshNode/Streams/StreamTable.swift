import MeshWire

/// The TLS streams that this node has opened to relays, or is opening.
struct StreamTable {
  /// Streams at a time.
  static let limit = 4
  /// A stream that nothing goes over any more is closed after this.
  static let idleTime: Duration = .seconds(60)
  /// After a stream to a relay could not be opened, no other is tried before this.
  static let retryTime: Duration = .seconds(20)

  /// UDP works if something has been heard over it within this.
  static let newsTime: Duration = .seconds(10)

  struct Stream {
    let number: StreamNumber
    let relay: PeerID
    var isOpen = false
    /// Since when nothing has gone over it.
    var idleSince: Instant

    var endpoint: Endpoint { Endpoint(number) }
  }

  private(set) var streams: [Stream] = []
  /// When something authentic came over UDP from outside of the own network; `nil`: never.
  private(set) var heardOverUDP: Instant?
  /// Whether a detection has found that UDP doesn't pass, or that it does.
  var isUDPBlocked: Bool?
  private var nextNumber: UInt32 = 0
  /// Relays that no stream came about to. Bounded by ``limit``: a newer one takes the place of the oldest.
  private var failures: [(relay: PeerID, until: Instant)] = []

  subscript(_ number: StreamNumber) -> Stream? { streams.first { $0.number == number } }

  func hasStream(to relay: PeerID) -> Bool { streams.contains { $0.relay == relay } }

  /// Counts as proof that UDP works, unless it came from a neighbour in the same network; allocates nothing.
  mutating func heard(from source: Endpoint, now: Instant) {
    guard !source.address.isCarrier, !source.address.isPrivateUse else { return }
    heardOverUDP = now
    isUDPBlocked = nil
  }

  /// Names a new stream; `nil` when there are ``limit``, or one to this relay, or one has failed just now.
  mutating func add(relay: PeerID, now: Instant) -> StreamNumber? {
    failures.removeAll { $0.until <= now }
    guard streams.count < Self.limit, !hasStream(to: relay), !failures.contains(where: { $0.relay == relay })
    else { return nil }
    // The highest bit is for streams that the shell accepts.
    nextNumber = (nextNumber &+ 1) & 0x7fff_ffff
    let number = StreamNumber(number: nextNumber)
    streams.append(Stream(number: number, relay: relay, idleSince: now))
    return number
  }

  mutating func opened(_ number: StreamNumber, now: Instant) -> Stream? {
    guard let position = streams.firstIndex(where: { $0.number == number }) else { return nil }
    streams[position].isOpen = true
    streams[position].idleSince = now
    return streams[position]
  }

  mutating func closed(_ number: StreamNumber, now: Instant) {
    guard let position = streams.firstIndex(where: { $0.number == number }) else { return }
    let stream = streams.remove(at: position)
    guard !stream.isOpen else { return }
    if failures.count == Self.limit { failures.removeFirst() }
    failures.append((stream.relay, now + Self.retryTime))
  }

  mutating func used(_ number: StreamNumber, now: Instant) {
    guard let position = streams.firstIndex(where: { $0.number == number }) else { return }
    streams[position].idleSince = now
  }

  /// When a stream may have been idle for long enough.
  var deadline: Instant? { streams.lazy.filter(\.isOpen).map { $0.idleSince + Self.idleTime }.min() }
}

/// A relay doesn't answer over UDP: a stream to it is wanted, if nothing else is heard over UDP either.
struct StreamWish {
  /// Others that should answer are asked after so long.
  static let asking: Duration = .milliseconds(1_500)
  /// UDP is taken for blocked after so long.
  static let patience: Duration = .seconds(3)

  let since: Instant
  var hasAsked = false

  var due: Instant { since + (hasAsked ? Self.patience : Self.asking) }
}
