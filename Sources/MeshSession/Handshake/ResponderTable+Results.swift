public import MeshCrypto
public import MeshWire

extension ResponderTable {
  /// Takes the result of a half-open's outstanding job. Results for half-opens that are gone are ignored.
  public mutating func computed(
    _ id: HalfOpenID, _ result: CryptoResult, now: Instant, into actions: inout [ResponderAction]
  ) {
    guard var halfOpen = halfOpens[id] else { return }
    switch (halfOpen.phase, result) {
    case (.answering(let m1, let suite), .answered(let answer, let shared)):
      prepareM2(id, m1, suite, answer, shared, &halfOpen, &actions)
    case (.answering, _): return end(id, .keyExchangeRefused, &actions)
    case (.signing(let exchange, let th2), .signed(let signature)):
      sendM2(exchange, th2, signature, &halfOpen, now, &actions)
    case (.signing, _): return end(id, .jobFailed, &actions)
    case (.verifying(let sent, let key, let th5), .verified(true)):
      return establish(id, sent, key, th5, now, &actions)
    case (.verifying, .verified): return end(id, .badSignature, &actions)
    case (.verifying, _): return end(id, .jobFailed, &actions)
    case (.collectingM1, _), (.collectingM3, _): return drop(.unexpected, &actions)
    }
    note(halfOpen.deadline)
    halfOpens[id] = halfOpen
  }

  /// The keys are there: the transcript up to our signature.
  private mutating func prepareM2(
    _ id: HalfOpenID, _ m1: M1Body, _ suite: AEADSuite, _ answer: KeyExchangeAnswer, _ shared: SharedSecret,
    _ halfOpen: inout HalfOpen, _ actions: inout [ResponderAction]
  ) {
    repeat {
      halfOpen.responderID = draw()
    } while byResponderID[halfOpen.responderID] != nil
      || completed[halfOpen.responderID] != nil
    byResponderID[halfOpen.responderID] = id
    let m2a = M2aBody(
      responder: halfOpen.responderID, answer: answer, suite: suite, receiverIndex: halfOpen.receiverIndex)
    let encoded = m2a.encode()
    let schedule = KeySchedule(
      initiatorID: halfOpen.origin.initiator, responder: own.keyHash, m1: halfOpen.m1Body, m2a: encoded,
      shared: shared)
    let th2 = schedule.th2(responder: own)
    halfOpen.phase = .signing(
      HalfOpen.Exchange(schedule: schedule, m1: m1, m2a: m2a, encodedM2a: encoded), th2: th2)
    actions.append(.compute(id, .sign(th2, .handshakeResponder)))
  }

  private mutating func sendM2(
    _ exchange: HalfOpen.Exchange, _ th2: [UInt8], _ signature: [UInt8], _ halfOpen: inout HalfOpen,
    _ now: Instant, _ actions: inout [ResponderAction]
  ) {
    let schedule = exchange.schedule
    let suite = exchange.m2a.suite
    let th3 = schedule.th3(th2, signature: signature)
    let finished = schedule.responderFinished(th3)
    let body = IdentityBody(
      keyHash: own.keyHash, signature: signature, finished: finished,
      publicKey: exchange.m1.wantsPublicKey ? own : nil)
    let initiator = halfOpen.origin.initiator
    halfOpen.m2 =
      OutgoingFragments.clear(
        .m2a, exchange.encodedM2a, suite: suite.rawValue, receiver: initiator, macKey: halfOpen.macKey)
      + OutgoingFragments.sealed(
        .m2b, body.encode(), suite: suite, receiver: initiator,
        key: AEADKey(suite, key: schedule.responderKey))
    halfOpen.phase = .collectingM3(
      HalfOpen.SentM2(
        schedule: schedule, suite: suite, peerIndex: exchange.m1.receiverIndex, th3: th3, finished: finished,
        m3Key: AEADKey(suite, key: schedule.initiatorKey)))
    send(halfOpen.m2.datagrams, &halfOpen, &actions)
    if halfOpen.budget.isValidated { halfOpen.backoff.restart(now: now) }
  }

  /// The initiator is who it says. The session answers with M4 at once.
  private mutating func establish(
    _ id: HalfOpenID, _ sent: HalfOpen.SentM2, _ key: IdentityPublicKey, _ th5: [UInt8], _ now: Instant,
    _ actions: inout [ResponderAction]
  ) {
    guard let halfOpen = remove(id) else { return }
    // Whatever else claims to be this handshake was forged.
    for forged in byOrigin[halfOpen.origin] ?? [] { end(forged, .conflicting, &actions) }
    var session = Session(
      peer: key.keyHash, role: .responder, handshakeHash: Primitives.sha512(halfOpen.m1Body),
      suite: sent.suite, root: sent.schedule.root(th5), receiveIndex: halfOpen.receiverIndex,
      peerIndex: sent.peerIndex, begun: halfOpen.begun, now: now)
    var first: [SessionAction] = []
    session.confirm(now: now, into: &first)
    for case .send(let datagram) in first { actions.append(.send(datagram, to: halfOpen.origin.source)) }
    remember(
      CompletedHandshake(
        origin: halfOpen.origin, responderID: halfOpen.responderID, receiveIndex: halfOpen.receiverIndex,
        suite: sent.suite, m3Key: sent.m3Key, until: now + Limits.handshakeLife, lastConfirmation: now))
    actions.append(
      .established(session, peerKey: key, from: halfOpen.origin.source, early: halfOpen.early))
  }
}
