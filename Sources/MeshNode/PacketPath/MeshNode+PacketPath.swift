import MeshPaths
import MeshSession
public import MeshWire

extension MeshNode {
  /// Takes one UDP datagram and opens it in place.
  public mutating func receive(
    _ datagram: inout MutableSpan<UInt8>, from source: Endpoint, now: Instant
  ) -> Received {
    latest = max(latest, now)
    guard datagram.count > 0 else { return drop(.empty) }
    switch datagram[0] {
    // A transport packet has zeros behind its type, and a STUN answer has not (RFC 8489 §5: 0x0101, 0x0111).
    case 1 where datagram.count > 1 && datagram[1] != 0 && STUNMessage.hasCookie(datagram.span):
      return receiveSTUNAnswer(Array(copying: datagram), from: source, now: now)
    case 1: return receiveTransport(&datagram, from: source, now: now)
    case 0 where STUNMessage.hasCookie(datagram.span):
      return receiveSTUNRequest(Array(copying: datagram), from: source, now: now)
    case 2...7:
      receiveHandshake(Array(copying: datagram), from: source, now: now)
      return .consumed
    default: return drop(.unknownType)
    }
  }

  mutating func drop(_ reason: DropReason) -> Received {
    counters.count(reason)
    return .dropped(reason)
  }

  private mutating func receiveTransport(
    _ datagram: inout MutableSpan<UInt8>, from source: Endpoint, now: Instant
  ) -> Received {
    guard datagram.count >= 32 else { return drop(.malformed) }
    let index =
      UInt32(datagram[4]) << 24 | UInt32(datagram[5]) << 16 | UInt32(datagram[6]) << 8 | UInt32(datagram[7])
    guard let slot = neighbours.slot(receiverIndex: index) else {
      if responders.receiveEarly(datagram.span, from: source) { return .consumed }
      return drop(.unknownIndex)
    }
    let size = datagram.count
    neighbours.deadlines.touch(slot)
    let inCurrent = neighbours.entriesInPlace[slot].current?.session.receives(index) ?? false
    let outcome: OpenOutcome
    if inCurrent {
      let endpoint = neighbours.entriesInPlace[slot].current!.endpoint
      let isKnown = source != endpoint && neighbours.entriesInPlace[slot].paths.hasProven(source)
      outcome = neighbours.entriesInPlace[slot].current!.session.open(
        &datagram, arrival: Arrival(from: source, endpoint: endpoint, isKnownPath: isKnown), now: now,
        into: &sessionActions)
    } else if neighbours.entriesInPlace[slot].previous != nil {
      outcome = neighbours.entriesInPlace[slot].previous!.session.open(
        &datagram, now: now, into: &sessionActions)
    } else {
      return drop(.unknownIndex)
    }
    if case .dropped(let reason) = outcome {
      let received = drop(DropReason(reason))
      performSessionActions(slot, current: inCurrent, now)
      return received
    }
    neighbours.entriesInPlace[slot].lastHeard = now
    streams.heard(from: source, now: now)
    neighbours.entriesInPlace[slot].paths.heard(from: source, now: now)
    neighbours.entriesInPlace[slot].bytesIn += UInt64(size)
    if !sessionActions.isEmpty { performSessionActions(slot, current: inCurrent, now) }
    return take(outcome, &datagram, from: source, slot: slot, now: now)
  }

  private mutating func take(
    _ outcome: OpenOutcome, _ datagram: inout MutableSpan<UInt8>, from source: Endpoint, slot: Int,
    now: Instant
  ) -> Received {
    switch outcome {
    case .packet(let range):
      if let reason = judge(datagram.span.extracting(range), slot: slot, now: now) { return drop(reason) }
      return .packet(range)
    case .assembled(let packet):
      if let reason = judge(packet.span, slot: slot, now: now) { return drop(reason) }
      emit(.deliver(packet))
      return .consumed
    case .cell(let range):
      var cell = datagram._mutatingExtracting(range)
      return receiveCell(&cell, from: source, slot: slot, now: now)
    case .assembledCell(var bytes):
      var cell = bytes.mutableSpan
      return receiveCell(&cell, from: source, slot: slot, now: now)
    case .control(let message):
      receiveControl(message, slot: slot, now: now)
      return .consumed
    case .keepalive, .handled: return .consumed
    case .dropped(let reason): return drop(DropReason(reason))
    }
  }

  private mutating func judge(_ packet: Span<UInt8>, slot: Int, now: Instant) -> DropReason? {
    guard let permission = neighbours.entriesInPlace[slot].entry?.inbound else { return .notAPeer }
    let overlay = neighbours.entriesInPlace[slot].overlay
    if let reason = filter.incoming(packet, from: overlay, permission: permission, now: now) { return reason }
    neighbours.entriesInPlace[slot].packetsIn += 1
    counters.packetsIn += 1
    counters.bytesIn += UInt64(packet.count)
    return nil
  }

  /// Takes one IP packet from the TUN device and seals it into `output`, which holds at least the packet and
  /// 128 bytes.
  public mutating func send(
    _ packet: Span<UInt8>, into output: inout MutableSpan<UInt8>, now: Instant
  ) -> Sent {
    latest = max(latest, now)
    let destination: UInt128
    switch filter.outgoing(packet, now: now) {
    case .pass(let to): destination = to
    case .drop(let reason): return refuse(reason)
    }
    guard let slot = neighbours.slot(peerAt: destination) else { return refuse(.noRoute) }
    guard neighbours.entriesInPlace[slot].current != nil else {
      return queue(packet, slot: slot, now: now)
    }
    let endpoint = neighbours.entriesInPlace[slot].current!.endpoint
    neighbours.deadlines.touch(slot)
    neighbours.entriesInPlace[slot].paths.sent(now: now)
    switch neighbours.entriesInPlace[slot].current!.session.seal(packet, into: &output, now: now) {
    case .one(let count):
      countSent(packet.count, count, slot)
      keepIfUnsure(output.span.extracting(..<count), slot: slot, now: now)
      if case .circuit(let circuit) = endpoint.carrier {
        sendThrough(circuit, output.span.extracting(..<count))
        return .relayed
      }
      return .datagram(count: count, to: endpoint)
    case .two(let first, let second):
      countSent(packet.count, first + second, slot)
      keepIfUnsure(output.span.extracting(..<first), slot: slot, now: now)
      keepIfUnsure(output.span.extracting(first..<first + second), slot: slot, now: now)
      if case .circuit(let circuit) = endpoint.carrier {
        sendThrough(circuit, output.span.extracting(..<first))
        sendThrough(circuit, output.span.extracting(first..<first + second))
        return .relayed
      }
      return .pair(first: first, second: second, to: endpoint)
    case .refused(.expired):
      endCurrent(slot, reason: "its keys have reached their limit", now: now)
      return queue(packet, slot: slot, now: now)
    case .refused(.tooLarge):
      let largest = neighbours.entries[slot].current!.session.largestPacket
      answerTooLarge(packet, largest: largest, now: now)
      return refuse(.tooLarge)
    case .refused(.outputTooSmall): return refuse(.tooLarge)
    case .refused(.empty): return refuse(.empty)
    }
  }

  private mutating func countSent(_ size: Int, _ sealed: Int, _ slot: Int) {
    neighbours.entriesInPlace[slot].packetsOut += 1
    neighbours.entriesInPlace[slot].bytesOut += UInt64(sealed)
    counters.packetsOut += 1
    counters.bytesOut += UInt64(size)
  }

  private mutating func refuse(_ reason: DropReason) -> Sent {
    counters.count(reason)
    return .dropped(reason)
  }

  private mutating func queue(_ packet: Span<UInt8>, slot: Int, now: Instant) -> Sent {
    connect(slot, urgent: true, now: now)
    guard neighbours.entries[slot].queue.count < NodeLimits.queuedPacketsPerPeer else {
      return refuse(.queueFull)
    }
    neighbours.entries[slot].queue.append(Array(copying: packet))
    return .queued
  }

  /// Sends what waited for the session, in order.
  mutating func flushQueues(_ slot: Int, now: Instant) {
    let packets = neighbours.entries[slot].queue
    neighbours.entries[slot].queue.removeAll()
    for packet in packets {
      var output = [UInt8](repeating: 0, count: packet.count + 128)
      var span = output.mutableSpan
      switch send(packet.span, into: &span, now: now) {
      case .datagram(let count, let endpoint): emit(.send(Array(output[..<count]), to: endpoint))
      case .pair(let first, let second, let endpoint):
        emit(.send(Array(output[..<first]), to: endpoint))
        emit(.send(Array(output[first..<first + second]), to: endpoint))
      case .queued, .relayed, .dropped: break
      }
    }
    let messages = neighbours.entries[slot].controlQueue
    neighbours.entries[slot].controlQueue.removeAll()
    for message in messages { sendControl(message, slot: slot, now: now) }
  }
}

extension Array where Element == UInt8 {
  /// Copies bytes that are only lent to us.
  init(copying bytes: Span<UInt8>) {
    self = unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) }
  }

  init(copying bytes: borrowing MutableSpan<UInt8>) { self.init(copying: bytes.span) }
}

extension DropReason {
  init(_ reason: TransportDrop) {
    self =
      switch reason {
      case .malformed: .malformed
      case .unknownIndex: .unknownIndex
      case .unauthenticated: .badTag
      case .replayed: .replayed
      case .expired: .tooOld
      case .badPiece, .piecesFull, .piecesExpired: .piecesDropped
      case .rekeyRefused, .probeRefused, .challengeRefused, .checkRefused: .controlMalformed
      case .challengeTooSoon, .challengeWithheld: .challengeHeld
      }
  }

  init(_ reason: HandshakeDrop) {
    self =
      switch reason {
      case .malformed, .conflicting, .unknownHandshake, .unexpected, .duplicate: .handshakeMalformed
      case .badMac1, .badMac, .unopened: .handshakeBadMac
      case .noCommonSuite, .keyExchangeRefused, .wrongIdentity, .missingPublicKey, .badFinished,
        .badSignature, .notAdmitted:
        .handshakeRefused
      case .cookieDemanded, .halfOpensFull, .prefixFull, .amplification, .retryTooSoon, .expired, .earlyFull,
        .confirmationTooSoon, .jobFailed:
        .handshakeOverload
      }
  }
}
