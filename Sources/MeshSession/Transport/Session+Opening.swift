import MeshCrypto
public import MeshWire

extension Session {
  /// Opens a transport packet in place. What else it leads to (answers, jobs) is appended to `actions`; for
  /// an IP packet that is nothing, but for the first packet, the first under new keys, and those from a new
  /// address.
  ///
  /// - Parameter arrival: where the datagram came from; without it, where the peer is never changes.
  public mutating func open(
    _ datagram: inout MutableSpan<UInt8>, arrival: Arrival? = nil, now: Instant,
    into actions: inout [SessionAction]
  ) -> OpenOutcome {
    guard datagram.count >= Layout.emptySize, Layout.isTransport(datagram[0]),
      datagram[1] | datagram[2] | datagram[3] == 0
    else { return drop(.malformed) }
    var receiveIndex: UInt32 = 0
    for index in 4..<8 { receiveIndex = receiveIndex << 8 | UInt32(datagram[index]) }
    var counter: UInt64 = 0
    for index in 8..<16 { counter = counter << 8 | UInt64(datagram[index]) }
    var position = 0
    while position < epochs.count, epochs[position].receiveIndex != receiveIndex { position += 1 }
    guard position < epochs.count else { return drop(.unknownIndex) }
    guard counter < Limits.refuseAfterPackets, now < epochs[position].receivesUntil else {
      return drop(.expired)
    }
    guard epochs[position].window.admits(counter) else { return drop(.replayed) }
    guard epochs[position].open(&datagram, counter: counter) else { return drop(.unauthenticated) }
    let isNewest = epochs[position].window.isNewest(counter) && !hasProvenKeys(after: position)
    epochs[position].window.mark(counter)
    heard(position, now, &actions)
    let end = datagram.count - Layout.tagSize
    if let arrival, arrival.isElsewhere || roaming.candidate != nil, !arrival.isKnownPath,
      !PathCheck.isOne(datagram.span.extracting(Layout.transportHeaderSize..<end))
    {
      arrived(arrival, size: datagram.count, isNewest: isNewest, now, &actions)
    }
    guard end > Layout.transportHeaderSize else { return .keepalive }
    if owesAnswerSince == nil { owesAnswerSince = now }
    let body = Layout.transportHeaderSize + 1..<end
    let kind = ContentKind(rawValue: datagram[Layout.transportHeaderSize])
    switch kind {
    case .packet:
      probe.heardWhole(datagram.count)
      return body.isEmpty ? drop(.malformed) : .packet(body)
    case .control:
      return control(bytes(datagram, body), datagramSize: datagram.count, arrival, now, &actions)
    case .packetPiece:
      switch piece(bytes(datagram, body), of: .packetPiece, receiveIndex, now) {
      case .complete(let packet):
        noteInPieces(packet, now, &actions)
        return .assembled(packet)
      case .waiting: return .handled
      case .dropped(let reason): return drop(reason)
      }
    case .controlPiece:
      switch piece(bytes(datagram, body), of: .controlPiece, receiveIndex, now) {
      case .complete(let message): return control(message, datagramSize: 0, arrival, now, &actions)
      case .waiting: return .handled
      case .dropped(let reason): return drop(reason)
      }
    case .cell:
      probe.heardWhole(datagram.count)
      return body.isEmpty ? drop(.malformed) : .cell(body)
    case .cellPiece:
      switch piece(bytes(datagram, body), of: .cellPiece, receiveIndex, now) {
      case .complete(let cell):
        noteInPieces(cell, now, &actions)
        return .assembledCell(cell)
      case .waiting: return .handled
      case .dropped(let reason): return drop(reason)
      }
    case nil: return drop(.malformed)
    }
  }

  /// A packet or a cell came in pieces. Probes are no sign of what a path carries, and control messages
  /// rarely are large.
  private mutating func noteInPieces(
    _ message: [UInt8], _ now: Instant, _ actions: inout [SessionAction]
  ) {
    probe.heardInPieces(Layout.wholeOverhead + message.count, now: now)
    notePath(&actions)
  }

  /// Something authentic came under the keys at `position`.
  private mutating func heard(_ position: Int, _ now: Instant, _ actions: inout [SessionAction]) {
    lastReceived = now
    probe.heard()
    if confirmedAt == nil { confirmedAt = now }
    unansweredSince = nil
    if !isConfirmed {
      isConfirmed = true
      actions.append(.confirmed)
    }
    if probe.next == nil { probe.start(now: now) }
    guard !epochs[position].isProven else { return }
    epochs[position].isProven = true
    for old in 0..<position {
      epochs[old].receivesUntil = min(epochs[old].receivesUntil, now + Limits.oldKeyLife)
    }
    if position > sending { useNewKeys(position, now, &actions) }
  }

  /// Whether the peer has sent under keys that are newer than those at `position`.
  private func hasProvenKeys(after position: Int) -> Bool {
    for later in epochs.indices where later > position && epochs[later].isProven { return true }
    return false
  }

  private func bytes(_ datagram: borrowing MutableSpan<UInt8>, _ range: Range<Int>) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(range.count)
    for position in range { bytes.append(datagram[position]) }
    return bytes
  }

  private mutating func piece(
    _ bytes: [UInt8], of kind: ContentKind, _ receiveIndex: UInt32, _ now: Instant
  ) -> PieceTable.Outcome {
    defer { countExpiredPieces() }
    return pieces.add(bytes, of: kind, receiveIndex: receiveIndex, now: now)
  }

  mutating func countExpiredPieces() {
    let expired = pieces.takeExpired()
    if expired > 0 { drops.count(.piecesExpired, expired) }
  }

  /// A whole control message: ours to handle, or the node's.
  private mutating func control(
    _ message: [UInt8], datagramSize: Int, _ arrival: Arrival?, _ now: Instant,
    _ actions: inout [SessionAction]
  ) -> OpenOutcome {
    let refusal: TransportDrop?
    switch message.first {
    case nil: refusal = .malformed
    case RekeyMessage.request: refusal = receiveRekeyRequest(message, now, &actions)
    case RekeyMessage.answer: refusal = receiveRekeyAnswer(message, &actions)
    case PathProbe.request: refusal = receiveProbe(message, datagramSize, now, &actions)
    case PathProbe.answer: refusal = receiveProbeAnswer(message, now, &actions)
    case Roaming.challenge: refusal = receiveChallenge(message, arrival, now, &actions)
    case Roaming.answer: refusal = receiveChallengeAnswer(message, arrival, now, &actions)
    case PathCheck.request: refusal = receiveCheck(message, datagramSize, arrival, now, &actions)
    case PathCheck.answer: refusal = receiveCheckAnswer(message, datagramSize, arrival, &actions)
    default: return .control(message)
    }
    return refusal.map { drop($0) } ?? .handled
  }

  mutating func drop(_ reason: TransportDrop) -> OpenOutcome {
    drops.count(reason)
    return .dropped(reason)
  }
}
