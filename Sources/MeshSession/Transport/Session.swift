public import MeshCrypto
public import MeshWire

/// An established session: keys, replay windows, pieces, rekeying, path probes and keepalives (SMH1.md §8, §9).
///
/// A value that one thread owns. Mutate it where it is stored: a copy would copy its windows. ``seal(_:into:now:)``
/// and ``open(_:now:into:)`` allocate nothing for a packet that travels whole.
public struct Session {
  /// Whom the handshake authenticated.
  public let peer: KeyHash
  public let role: Role
  /// SHA-512 of the M1 body: of two sessions from a simultaneous open, the lower stays (SMH1.md §11).
  public let handshakeHash: [UInt8]
  /// Receiver indexes that packets for this session carry: at most three.
  public var receiveIndexes: [UInt32] { [] }
  /// A packet from the peer has opened, or its M3 has verified.
  public private(set) var isConfirmed = false
  /// The largest UDP payload that a sealed datagram may have.
  public private(set) var pathPayload = Layout.basePayload
  /// The largest IP packet that ``seal(_:into:now:)`` takes: two pieces.
  public var largestPacket: Int { 2 * (pathPayload - Layout.pieceOverhead) }
  /// Generation of the keys that are sent with: 0 from the handshake, one more at each rekey.
  public var generation: UInt32 { 0 }
  /// What was dropped after arriving, by reason.
  public private(set) var drops = Tally<TransportDrop>()
  /// What was not sealed, by reason.
  public private(set) var refusals = Tally<SealRefusal>()

  /// Seals an IP packet into one datagram, or into two when it doesn't fit one: the first at the beginning of
  /// `output`, the second right after it. `output` needs the packet's size and 78 bytes.
  public mutating func seal(
    _ packet: Span<UInt8>, into output: inout MutableSpan<UInt8>, now: Instant
  ) -> SealOutcome { .refused(.expired) }

  /// Opens a transport packet in place. What else it leads to (answers, jobs) is appended to `actions`; for an IP
  /// packet that is nothing, but for the first packet and the first under new keys.
  public mutating func open(
    _ datagram: inout MutableSpan<UInt8>, now: Instant, into actions: inout [SessionAction]
  ) -> OpenOutcome { .dropped(.malformed) }

  /// Seals a control message, in as many pieces as it needs (at most twelve). Refused ones are counted.
  public mutating func send(
    control message: [UInt8], now: Instant, into actions: inout [SessionAction]
  ) -> Result<Void, SealRefusal> { .failure(.expired) }

  /// Sends an empty packet: M4 again, or a keepalive.
  public mutating func confirm(now: Instant, into actions: inout [SessionAction]) {}

  /// Takes the result of the outstanding job.
  public mutating func computed(
    _ result: CryptoResult, now: Instant, freshIndex: () -> UInt32, into actions: inout [SessionAction]
  ) {}

  /// Another session with the same peer takes over: this one only receives, for 10 s more.
  public mutating func supersede(now: Instant) {}

  /// Fires what is due.
  public mutating func advance(
    to now: Instant, freshIndex: () -> UInt32, into actions: inout [SessionAction]
  ) {}

  /// When ``advance(to:freshIndex:into:)`` is wanted next.
  public var nextDeadline: Instant? { nil }
}
