import MeshCrypto
import MeshWire

extension ResponderTable {
  // MARK: M1

  mutating func receiveM1(
    _ m1: M1Datagram, _ source: Endpoint, _ now: Instant, _ queuedJobs: Int, _ freshIndex: () -> UInt32,
    _ actions: inout [ResponderAction]
  ) {
    let expected = Macs.mac1(key: mac1Key, header: m1.authenticatedHeader, fragment: m1.fragment)
    guard constantTimeEqual(m1.mac1, expected) else { return drop(.badMac1, &actions) }
    let hasCookie = cookies.isGood(m1.cookie, for: source, initiator: m1.initiator)
    let isBusy = halfOpens.count >= limits.cookieThreshold || queuedJobs >= limits.cookieThreshold
    if alwaysDemandsCookie || isBusy, !hasCookie {
      if m1.index == 1 { sendRetry(m1, source, &actions) }
      return drop(.cookieDemanded, &actions)
    }
    let origin = HalfOpen.Origin(source: source, initiator: m1.initiator)
    // Someone repeats the M1 of a handshake that is over: no work for it.
    guard completedOrigins[origin] == nil else { return drop(.duplicate, &actions) }
    let fragment = Array(m1.fragment)
    let ids = claimants(m1, fragment, origin, now, &actions)
    // Bytes pay for one M2 only, and one is sent again at a time: the initiator couldn't tell two apart.
    let next = ids.min { (halfOpens[$0]?.resends ?? 0, $1) < (halfOpens[$1]?.resends ?? 0, $0) }
    for id in ids { take(fragment, m1, for: id, isNext: id == next, hasCookie, now, freshIndex, &actions) }
    if let id = unite(origin, m1, now, &actions), var halfOpen = halfOpens[id] {
      answer(id, &halfOpen, freshIndex, &actions)
      if halfOpens[id] != nil { halfOpens[id] = halfOpen }
    }
  }

  private mutating func take(
    _ fragment: [UInt8], _ m1: M1Datagram, for id: HalfOpenID, isNext: Bool, _ hasCookie: Bool,
    _ now: Instant, _ freshIndex: () -> UInt32, _ actions: inout [ResponderAction]
  ) {
    guard var halfOpen = halfOpens[id] else { return }
    let isRepeated = halfOpen.m1.parts[m1.index] != nil
    if isNext { halfOpen.budget.receive(Layout.basePayload) }
    halfOpen.heardM1(now: now)
    if hasCookie { halfOpen.validate(now: now) }
    halfOpen.m1.put(fragment, at: m1.index)
    if case .collectingM1 = halfOpen.phase, halfOpen.m1.isComplete {
      if KeySchedule.initiatorID(of: halfOpen.m1Body) == m1.initiator {
        halfOpen.isNamed = true
        for other in byOrigin[halfOpen.origin] ?? [] where other != id { end(other, .conflicting, &actions) }
      }
      answer(id, &halfOpen, freshIndex, &actions)
    } else if isRepeated {
      drop(.duplicate, &actions)
      if case .collectingM3 = halfOpen.phase, halfOpen.m3 == nil, m1.index == m1.count - 1, isNext {
        halfOpen.resends += 1
        resendM2(&halfOpen, &actions)
      }
    }
    guard halfOpens[id] != nil else { return }
    note(halfOpen.deadline)
    halfOpens[id] = halfOpen
  }

  /// A stateless answer: its mac is keyed by the random that stands in fragment 1.
  private mutating func sendRetry(
    _ m1: M1Datagram, _ source: Endpoint, _ actions: inout [ResponderAction]
  ) {
    let random = m1.fragment.dropFirst(Layout.m1RandomInFragment).prefix(Layout.randomSize)
    let retry = HandshakeDatagram.encode(
      .retry, suite: 0, index: 0, count: 1, receiver: m1.initiator,
      rest: cookies.cookie(for: source, initiator: m1.initiator), macKey: Macs.clearKey(random: random))
    actions.append(.send(retry, to: source))
  }

  /// A whole M1: the suite, an index, and the first asymmetric operation.
  private mutating func answer(
    _ id: HalfOpenID, _ halfOpen: inout HalfOpen, _ freshIndex: () -> UInt32,
    _ actions: inout [ResponderAction]
  ) {
    guard let body = try? M1Body(halfOpen.m1Body), body.wantsPublicKey == (halfOpen.m1.count == 3) else {
      return end(id, .malformed, &actions)
    }
    guard let suite = suites.first(where: { body.suites.contains($0.rawValue) }) else {
      return end(id, .noCommonSuite, &actions)
    }
    let index = freshIndex()
    // The caller's to avoid; were it asked again here, a caller with one answer would hang us. The next time
    // that M1 comes it is.
    guard index != 0, byIndex[index] == nil else { return drop(.unexpected, &actions) }
    halfOpen.receiverIndex = index
    byIndex[index] = id
    halfOpen.macKey = Macs.clearKey(random: body.random)
    halfOpen.phase = .answering(body, suite)
    actions.append(.compute(id, .answer(body.offer)))
  }

  // MARK: M3 and Ack

  mutating func receiveAnswer(
    _ datagram: HandshakeDatagram, _ source: Endpoint, _ now: Instant,
    _ admission: (KeyHash) -> Admission, _ actions: inout [ResponderAction]
  ) {
    if datagram.kind == .m3, completed[datagram.receiver] != nil {
      return confirmAgain(datagram, source, now, &actions)
    }
    guard let id = byResponderID[datagram.receiver], var halfOpen = halfOpens[id],
      halfOpen.origin.source == source
    else { return drop(.unknownHandshake, &actions) }
    guard case .collectingM3(let sent) = halfOpen.phase else { return drop(.duplicate, &actions) }
    halfOpen.budget.receive(Layout.headerSize + datagram.rest.count)
    if datagram.kind == .ack {
      receiveAck(datagram, sent, &halfOpen, now, &actions)
    } else {
      receiveM3(id, datagram, sent, &halfOpen, now, admission, &actions)
    }
    guard halfOpens[id] != nil else { return }
    note(halfOpen.deadline)
    halfOpens[id] = halfOpen
  }

  private mutating func receiveAck(
    _ datagram: HandshakeDatagram, _ sent: HalfOpen.SentM2, _ halfOpen: inout HalfOpen, _ now: Instant,
    _ actions: inout [ResponderAction]
  ) {
    guard datagram.suite == 0 || datagram.suite == sent.suite.rawValue else {
      return drop(.malformed, &actions)
    }
    guard datagram.isAuthentic(macKey: halfOpen.macKey) else { return drop(.badMac, &actions) }
    guard halfOpen.m3 == nil else { return drop(.duplicate, &actions) }
    halfOpen.validate(now: now)
    if halfOpen.m2.acknowledge(datagram.bitmap) {
      halfOpen.progress(now: now)
      halfOpen.backoff.restart(now: now)
    }
    resendM2(&halfOpen, &actions)
  }

  private mutating func receiveM3(
    _ id: HalfOpenID, _ datagram: HandshakeDatagram, _ sent: HalfOpen.SentM2, _ halfOpen: inout HalfOpen,
    _ now: Instant, _ admission: (KeyHash) -> Admission, _ actions: inout [ResponderAction]
  ) {
    guard datagram.suite == sent.suite.rawValue else { return drop(.malformed, &actions) }
    var m3 = halfOpen.m3 ?? Reassembly(count: datagram.count)
    guard m3.count == datagram.count else { return drop(.conflicting, &actions) }
    guard m3.parts[datagram.index] == nil else {
      drop(.duplicate, &actions)
      // The mac would have to be checked again: the budget bounds what a forged one can make us send.
      return sendAck(m3, sent, &halfOpen, &actions)
    }
    guard let text = datagram.opened(with: sent.m3Key) else { return drop(.unopened, &actions) }
    m3.put(text, at: datagram.index)
    halfOpen.m3 = m3
    halfOpen.validate(now: now)
    halfOpen.progress(now: now)
    halfOpen.m2.acknowledgeAll()
    halfOpen.backoff.restart(now: now)
    if m3.isComplete { check(id, m3, sent, &halfOpen, admission, &actions) }
  }

  /// A whole M3: who it is, whether they may, the finished value, and only then the signature (SMH1.md §4).
  private mutating func check(
    _ id: HalfOpenID, _ m3: Reassembly, _ sent: HalfOpen.SentM2, _ halfOpen: inout HalfOpen,
    _ admission: (KeyHash) -> Admission, _ actions: inout [ResponderAction]
  ) {
    guard let body = try? IdentityBody(m3.body) else { return end(id, .malformed, &actions) }
    guard case .accept(let knownKey) = admission(body.keyHash) else { return end(id, .notAdmitted, &actions) }
    guard let key = body.publicKey ?? knownKey else { return end(id, .missingPublicKey, &actions) }
    guard key.keyHash == body.keyHash, key.keyHash != own.keyHash else {
      return end(id, .wrongIdentity, &actions)
    }
    let th4 = sent.schedule.th4(
      sent.th3, responderFinished: sent.finished, initiator: key, responder: own.keyHash)
    let th5 = sent.schedule.th5(th4, signature: body.signature)
    guard constantTimeEqual(body.finished, sent.schedule.initiatorFinished(th5)) else {
      return end(id, .badFinished, &actions)
    }
    halfOpen.phase = .verifying(sent, key, th5: th5)
    halfOpen.backoff.stop()
    actions.append(
      .compute(id, .verify(signature: body.signature, of: th4, by: key, .handshakeInitiator)))
  }

  /// An M3 whose M4 seems lost, or went to where its initiator was: the answer goes to where this M3 came
  /// from. It is smaller than any fragment of M3, so it needs no validated address.
  private mutating func confirmAgain(
    _ datagram: HandshakeDatagram, _ source: Endpoint, _ now: Instant, _ actions: inout [ResponderAction]
  ) {
    guard let done = completed[datagram.receiver] else { return drop(.unknownHandshake, &actions) }
    let isElsewhere = done.origin.source != source
    let last = isElsewhere ? done.lastElsewhere : done.lastConfirmation
    if let last, now < last + Limits.confirmationInterval { return drop(.confirmationTooSoon, &actions) }
    guard datagram.suite == done.suite.rawValue, datagram.opened(with: done.m3Key) != nil else {
      return drop(.unopened, &actions)
    }
    if isElsewhere {
      completed[datagram.receiver]?.lastElsewhere = now
    } else {
      completed[datagram.receiver]?.lastConfirmation = now
    }
    actions.append(.confirmAgain(receiveIndex: done.receiveIndex, to: source))
  }
}
