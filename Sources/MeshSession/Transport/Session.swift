public import MeshCrypto
public import MeshWire

/// An established session: keys, replay windows, pieces, rekeying, path probes, roaming and keepalives
/// (SMH1.md §8, §9).
///
/// A value that one thread owns. Mutate it where it is stored: a copy would copy its windows.
/// ``seal(_:into:now:)`` and ``open(_:now:into:)`` allocate nothing for a packet that travels whole.
public struct Session {
  /// Whom the handshake authenticated.
  public let peer: KeyHash
  public let role: Role
  public let suite: AEADSuite
  /// SHA-512 of the M1 body: of two sessions from a simultaneous open, the lower stays (SMH1.md §11).
  public let handshakeHash: [UInt8]
  /// When the handshake ended here.
  public let established: Instant
  /// When M1 went out first, or came first.
  public let begun: Instant
  /// When the first packet from the peer opened.
  public internal(set) var confirmedAt: Instant?
  /// A packet from the peer has opened, or its M3 has verified.
  public internal(set) var isConfirmed: Bool
  /// The largest UDP payload that a sealed datagram may have.
  public internal(set) var pathPayload = Layout.basePayload
  /// Whether ``pathPayload`` is what the path was found to carry, and not only what every path carries.
  public internal(set) var isPathDecided = false
  /// An empty packet goes out after so long without another: ``Session/usualKeepalive`` before a NAT, up to
  /// ``Session/longestKeepalive`` where nothing between the peers forgets (SMH1.md §8).
  public var keepalive = usualKeepalive
  /// What was dropped after arriving, by reason.
  public internal(set) var drops = Tally<TransportDrop>()
  /// What was not sealed, by reason.
  public internal(set) var refusals = Tally<SealRefusal>()

  /// The keys in use, at most three generations: the one before, the current one, the one being brought in.
  var epochs: ContiguousArray<Epoch>
  /// The position in ``epochs`` of the keys to send with.
  var sending = 0
  var pieces = PieceTable()
  var rekey = Rekey()
  var probe = PathProbe()
  var roaming = Roaming()
  var isSuperseded = false
  var isExpired = false
  /// Since when we wait for anything to come back; nil when nothing is due.
  var unansweredSince: Instant?
  /// Since when the peer waits for anything to come back.
  var owesAnswerSince: Instant?
  var lastSent: Instant
  var lastReceived: Instant
  var askedForIdentity = false
  var askedForKeys = false

  init(
    peer: KeyHash, role: Role, handshakeHash: [UInt8], suite: AEADSuite, root: [UInt8], receiveIndex: UInt32,
    peerIndex: UInt32, begun: Instant? = nil, now: Instant
  ) {
    self.peer = peer
    self.role = role
    self.suite = suite
    self.handshakeHash = handshakeHash
    established = now
    self.begun = begun ?? now
    isConfirmed = role == .responder
    lastSent = now
    lastReceived = now
    epochs = [
      Epoch(
        generation: 0, suite: suite, root: root, role: role, receiveIndex: receiveIndex,
        peerIndex: peerIndex, now: now)
    ]
    if isConfirmed { probe.start(now: now) }
  }

  /// Most NATs forget a mapping 30 s after the last packet, though RFC 4787 §4.3 asks for two minutes.
  public static let usualKeepalive = Limits.keepalive
  public static let longestKeepalive = Limits.longestKeepalive

  /// Receiver indexes that packets for this session carry: at most four.
  public var receiveIndexes: [UInt32] {
    epochs.map(\.receiveIndex) + (rekey.reservedIndex.map { [$0] } ?? [])
  }

  /// Whether packets with this receiver index are for this session; allocates nothing.
  public func receives(_ index: UInt32) -> Bool {
    for position in epochs.indices where epochs[position].receiveIndex == index { return true }
    return rekey.reservedIndex == index
  }

  /// Whether it only receives, or not even that.
  public var isOver: Bool { isSuperseded || isExpired }

  /// Generation of the keys that are sent with: 0 from the handshake, one more at each rekey.
  public var generation: UInt32 { epochs[sending].generation }

  /// The largest IP packet that ``seal(_:into:now:)`` takes: two pieces.
  public var largestPacket: Int { Layout.packetPieces * (pathPayload - Layout.pieceOverhead) }

  /// The largest IP packet that travels in one datagram.
  public var wholePacket: Int { pathPayload - Layout.wholeOverhead }

  /// When the last packet opened, or the handshake ended.
  public var lastHeard: Instant { lastReceived }

  // MARK: Sealing

  /// Seals an IP packet into one datagram, or into two when it doesn't fit one: the first at the beginning of
  /// `output`, the second right after it. `output` needs the packet's size and 78 bytes.
  public mutating func seal(
    _ packet: Span<UInt8>, into output: inout MutableSpan<UInt8>, now: Instant
  ) -> SealOutcome {
    seal(packet, whole: .packet, piece: .packetPiece, into: &output, now: now)
  }

  /// Seals a cell of a relay circuit, as a packet is sealed. What is in it is the circuit's business.
  public mutating func seal(
    cell: Span<UInt8>, into output: inout MutableSpan<UInt8>, now: Instant
  ) -> SealOutcome {
    seal(cell, whole: .cell, piece: .cellPiece, into: &output, now: now)
  }

  private mutating func seal(
    _ packet: Span<UInt8>, whole kind: ContentKind, piece pieceKind: ContentKind,
    into output: inout MutableSpan<UInt8>, now: Instant
  ) -> SealOutcome {
    guard packet.count > 0 else { return refuse(.empty) }
    guard maySend(now) else { return refuse(.expired) }
    let whole = packet.count + Layout.wholeOverhead
    if whole <= pathPayload {
      guard output.count >= whole else { return refuse(.outputTooSmall) }
      output[Layout.transportHeaderSize] = kind.rawValue
      copy(packet, into: &output, at: Layout.transportHeaderSize + 1)
      epochs[sending].seal(&output, at: 0, count: 1 + packet.count)
      sent(now, isEmpty: false)
      if whole > Layout.basePayload { probe.sentLarge(now: now) }
      return .one(whole)
    }
    guard packet.count <= largestPacket else { return refuse(.tooLarge) }
    let half = (packet.count + 1) / 2
    let first = half + Layout.pieceOverhead
    let second = packet.count - half + Layout.pieceOverhead
    guard output.count >= first + second else { return refuse(.outputTooSmall) }
    guard epochs[sending].counter + 1 < Limits.refuseAfterPackets else { return refuse(.expired) }
    let id = takeMessageID()
    sealPiece(packet.extracting(..<half), pieceKind, id, 0, 2, into: &output, at: 0)
    sealPiece(packet.extracting(half...), pieceKind, id, 1, 2, into: &output, at: first)
    sent(now, isEmpty: false)
    if first > Layout.basePayload { probe.sentLarge(now: now) }
    return .two(first: first, second: second)
  }

  /// Seals a control message, in as many pieces as it needs (at most twelve). Refused ones are counted.
  public mutating func send(
    control message: [UInt8], now: Instant, into actions: inout [SessionAction]
  ) -> Result<Void, SealRefusal> {
    guard !message.isEmpty else { return refuse(control: .empty) }
    guard maySend(now) else { return refuse(control: .expired) }
    if message.count + Layout.wholeOverhead <= pathPayload {
      actions.append(.send(sealWhole([ContentKind.control.rawValue] + message)))
      sent(now, isEmpty: false)
      return .success(())
    }
    let capacity = pathPayload - Layout.pieceOverhead
    let count = (message.count + capacity - 1) / capacity
    guard count <= Layout.controlPieces else { return refuse(control: .tooLarge) }
    guard epochs[sending].counter + UInt64(count) <= Limits.refuseAfterPackets else {
      return refuse(control: .expired)
    }
    let length = (message.count + count - 1) / count
    let id = takeMessageID()
    for index in 0..<count {
      let start = index * length
      let part = message.span.extracting(start..<min(start + length, message.count))
      var datagram = [UInt8](repeating: 0, count: part.count + Layout.pieceOverhead)
      var span = datagram.mutableSpan
      sealPiece(part, .controlPiece, id, index, count, into: &span, at: 0)
      actions.append(.send(datagram))
    }
    sent(now, isEmpty: false)
    if length + Layout.pieceOverhead > Layout.basePayload { probe.sentLarge(now: now) }
    return .success(())
  }

  /// Sends an empty packet: M4, or a keepalive.
  public mutating func confirm(now: Instant, into actions: inout [SessionAction]) {
    guard maySend(now) else { return }
    actions.append(.send(sealWhole([])))
    sent(now, isEmpty: true)
  }

  /// Sends M4 again, to where an M3 has come from: perhaps not where the session's packets go, so it is no
  /// keepalive of that path.
  public mutating func confirm(
    at endpoint: Endpoint, now: Instant, into actions: inout [SessionAction]
  ) {
    guard maySend(now) else { return }
    actions.append(.sendElsewhere(sealWhole([]), to: endpoint))
  }

  /// Seals a plaintext into a datagram of its own.
  mutating func sealWhole(_ text: [UInt8]) -> [UInt8] {
    var datagram = [UInt8](repeating: 0, count: Layout.emptySize + text.count)
    var span = datagram.mutableSpan
    copy(text.span, into: &span, at: Layout.transportHeaderSize)
    epochs[sending].seal(&span, at: 0, count: text.count)
    return datagram
  }

  private mutating func sealPiece(
    _ part: Span<UInt8>, _ kind: ContentKind, _ id: UInt32, _ index: Int, _ count: Int,
    into output: inout MutableSpan<UInt8>, at offset: Int
  ) {
    let start = offset + Layout.transportHeaderSize
    output[start] = kind.rawValue
    for byte in 0..<4 { output[start + 1 + byte] = UInt8(truncatingIfNeeded: id >> UInt32(24 - 8 * byte)) }
    output[start + 5] = UInt8(index)
    output[start + 6] = UInt8(count)
    copy(part, into: &output, at: start + 7)
    epochs[sending].seal(&output, at: offset, count: 7 + part.count)
  }

  private mutating func takeMessageID() -> UInt32 {
    defer { epochs[sending].messageID &+= 1 }
    return epochs[sending].messageID
  }

  func maySend(_ now: Instant) -> Bool { !isSuperseded && epochs[sending].maySend(now: now) }

  mutating func sent(_ now: Instant, isEmpty: Bool) {
    lastSent = now
    owesAnswerSince = nil
    if !isEmpty, unansweredSince == nil { unansweredSince = now }
  }

  private mutating func refuse(_ refusal: SealRefusal) -> SealOutcome {
    refusals.count(refusal)
    return .refused(refusal)
  }

  private mutating func refuse(control refusal: SealRefusal) -> Result<Void, SealRefusal> {
    refusals.count(refusal)
    return .failure(refusal)
  }
}

/// The first byte of a plaintext: what follows it (SMH1.md §8).
enum ContentKind: UInt8 {
  case packet = 0x01
  case control = 0x02
  case cell = 0x03
  case packetPiece = 0x11
  case controlPiece = 0x12
  case cellPiece = 0x13
}
