public import MeshCrypto
public import MeshWire

extension Initiator {
  /// Takes a datagram of types 3, 4, 5 or 7 that came from the responder's endpoint.
  public mutating func receive(
    _ datagram: [UInt8], now: Instant, into actions: inout [HandshakeAction]
  ) {
    guard let datagram = HandshakeDatagram(datagram) else { return drop(.malformed, &actions) }
    guard datagram.receiver == id else { return drop(.unknownHandshake, &actions) }
    switch datagram.kind {
    case .retry: receiveRetry(datagram, now, &actions)
    case .m2a: receiveM2a(datagram, now, &actions)
    case .m2b: receiveM2b(datagram, now, &actions)
    case .ack: receiveAck(datagram, now, &actions)
    case .transport, .m1, .m3: drop(.unexpected, &actions)
    }
  }

  private mutating func receiveRetry(
    _ datagram: HandshakeDatagram, _ now: Instant, _ actions: inout [HandshakeAction]
  ) {
    guard case .collecting = phase, m2.bitmap == 0 else { return drop(.unexpected, &actions) }
    guard datagram.isAuthentic(macKey: macKey) else { return drop(.badMac, &actions) }
    if let since = retriesSince, now < since + Limits.retryInterval {
      // The same again says nothing new. Another may be the true one, after one that somebody else made.
      guard datagram.rest != cookie, retriesTaken < Limits.retriesAtOnce else {
        return drop(.retryTooSoon, &actions)
      }
      retriesTaken += 1
    } else {
      retriesSince = now
      retriesTaken = 1
    }
    cookie = datagram.rest
    sendM1(&actions)
    backoff.restart(now: now)
  }

  private mutating func receiveM2a(
    _ datagram: HandshakeDatagram, _ now: Instant, _ actions: inout [HandshakeAction]
  ) {
    guard case .collecting = phase else { return drop(.duplicate, &actions) }
    guard datagram.isAuthentic(macKey: macKey) else { return drop(.badMac, &actions) }
    guard suites.contains(where: { $0.rawValue == datagram.suite }) else {
      return drop(.noCommonSuite, &actions)
    }
    let held = m2.clear.parts[datagram.index]
    if held == datagram.rest { return drop(.duplicate, &actions) }
    if held != nil || (m2.suite ?? datagram.suite) != datagram.suite {
      // R forgot its half-open and began again, or someone interferes. What has proved itself stays.
      guard !m2.isProven || m2.isDoubted else { return drop(.conflicting, &actions) }
      m2 = IncomingM2()
    }
    m2.suite = datagram.suite
    m2.clear.put(datagram.rest, at: datagram.index)
    progress(now)
    guard m2.clear.isComplete else { return }
    guard let body = try? M2aBody(m2.clear.body), body.suite.rawValue == datagram.suite, let keys else {
      return forget(.malformed, now, &actions)
    }
    phase = .opening
    actions.append(.compute(.open(body.answer, with: keys)))
  }

  private mutating func receiveM2b(
    _ datagram: HandshakeDatagram, _ now: Instant, _ actions: inout [HandshakeAction]
  ) {
    switch phase {
    case .collecting, .opening: break
    default: return drop(.duplicate, &actions)
    }
    guard datagram.count == (responderKey == nil ? 7 : 4) else { return drop(.malformed, &actions) }
    guard m2.opened != nil else {
      // Not authentic yet, so it may not stand for an answer: M1's timer goes on. The latest is kept, as
      // of M2a: what comes together belongs together, and what an M2 before has left would spoil the next.
      if m2.pending.isEmpty { m2.pending = Array(repeating: nil, count: datagram.count) }
      guard m2.pending[datagram.index]?.rest != datagram.rest else { return drop(.duplicate, &actions) }
      m2.pending[datagram.index] = datagram
      return
    }
    open(datagram, now, &actions)
    finishM2(now, &actions)
  }

  /// Opens one fragment of M2b under the keys that M2a gave.
  private mutating func open(
    _ datagram: HandshakeDatagram, _ now: Instant, _ actions: inout [HandshakeAction]
  ) {
    guard let opened = m2.opened else { return }
    if let sealed = m2.sealed, sealed.parts[datagram.index] != nil { return drop(.duplicate, &actions) }
    guard datagram.suite == opened.body.suite.rawValue, let text = datagram.opened(with: opened.key) else {
      m2.unopened += 1
      drop(.unopened, &actions)
      if !m2.isProven, m2.unopened >= Limits.unopenedBeforeForgetting { m2 = IncomingM2() }
      return
    }
    var sealed = m2.sealed ?? Reassembly(count: datagram.count)
    sealed.put(text, at: datagram.index)
    m2.sealed = sealed
    progress(now)
  }

  /// With M2b whole: R's finished value, then its signature (SMH1.md §4).
  private mutating func finishM2(_ now: Instant, _ actions: inout [HandshakeAction]) {
    guard let opened = m2.opened, let sealed = m2.sealed, sealed.isComplete else { return }
    guard let body = try? IdentityBody(sealed.body), body.keyHash == responder else {
      return forget(.wrongIdentity, now, &actions)
    }
    guard let key = responderKey ?? body.publicKey, key.keyHash == responder else {
      return forget(.wrongIdentity, now, &actions)
    }
    let schedule = opened.schedule
    let th2 = schedule.th2(responder: key)
    let th3 = schedule.th3(th2, signature: body.signature)
    guard constantTimeEqual(body.finished, schedule.responderFinished(th3)) else {
      return forget(.badFinished, now, &actions)
    }
    phase = .verifying(
      VerifiedM2(schedule: schedule, body: opened.body, key: key, th3: th3, finished: body.finished))
    actions.append(.compute(.verify(signature: body.signature, of: th2, by: key, .handshakeResponder)))
  }

  private mutating func receiveAck(
    _ datagram: HandshakeDatagram, _ now: Instant, _ actions: inout [HandshakeAction]
  ) {
    guard case .sending = phase else { return drop(.unexpected, &actions) }
    guard datagram.isAuthentic(macKey: macKey) else { return drop(.badMac, &actions) }
    let news = m3.acknowledge(datagram.bitmap)
    for fragment in m3.missing { actions.append(.send(fragment)) }
    if news { backoff.restart(now: now) }
  }

  /// Takes the result of the outstanding job.
  public mutating func computed(
    _ result: CryptoResult, now: Instant, into actions: inout [HandshakeAction]
  ) {
    switch (phase, result) {
    case (.makingOffer, .offer(let keys)):
      self.keys = keys
      m1 =
        M1Body(
          offer: keys.offer, random: random, suites: suites.map(\.rawValue),
          wantsPublicKey: responderKey == nil, receiverIndex: receiverIndex
        ).encode()
      id = KeySchedule.initiatorID(of: m1)
      phase = .collecting
      sendM1(&actions)
      backoff.restart(now: now)
    case (.opening, .opened(let shared)): openPending(shared, now, &actions)
    case (.opening, _): forget(.keyExchangeRefused, now, &actions)
    case (.verifying(let verified), .verified(true)):
      let th4 = verified.schedule.th4(
        verified.th3, responderFinished: verified.finished, initiator: own, responder: responder)
      provedKey = verified.key
      phase = .signing(verified, th4: th4)
      actions.append(.compute(.sign(th4, .handshakeInitiator)))
    case (.verifying, .verified): forget(.badSignature, now, &actions)
    case (.verifying, _): forget(.jobFailed, now, &actions)
    case (.signing(let verified, let th4), .signed(let signature)):
      finish(verified, th4, signature, now, &actions)
    case (.makingOffer, _), (.signing, _): fail(.jobFailed, &actions)
    case (.idle, _), (.collecting, _), (.sending, _), (.over, _): drop(.unexpected, &actions)
    }
  }

  /// The shared secret is here: what waited for its keys can be opened.
  private mutating func openPending(
    _ shared: SharedSecret, _ now: Instant, _ actions: inout [HandshakeAction]
  ) {
    guard let body = try? M2aBody(m2.clear.body) else { return forget(.malformed, now, &actions) }
    let schedule = KeySchedule(
      initiatorID: id, responder: responder, m1: m1, m2a: m2.clear.body, shared: shared)
    m2.opened = (schedule, body, AEADKey(body.suite, key: schedule.responderKey))
    phase = .collecting
    backoff.restart(now: now)
    let pending = m2.pending
    m2.pending = []
    for case let datagram? in pending { open(datagram, now, &actions) }
    finishM2(now, &actions)
  }

  /// M3, and the session that may send at once.
  private mutating func finish(
    _ verified: VerifiedM2, _ th4: [UInt8], _ signature: [UInt8], _ now: Instant,
    _ actions: inout [HandshakeAction]
  ) {
    let schedule = verified.schedule
    let th5 = schedule.th5(th4, signature: signature)
    let body = IdentityBody(
      keyHash: own.keyHash, signature: signature, finished: schedule.initiatorFinished(th5),
      publicKey: sendsPublicKey ? own : nil)
    m3 = OutgoingFragments.sealed(
      .m3, body.encode(), suite: verified.body.suite, receiver: verified.body.responder,
      key: AEADKey(verified.body.suite, key: schedule.initiatorKey))
    phase = .sending
    keys = nil
    for datagram in m3.datagrams { actions.append(.send(datagram)) }
    backoff.restart(now: now)
    let session = Session(
      peer: responder, role: .initiator, handshakeHash: Primitives.sha512(m1), suite: verified.body.suite,
      root: schedule.root(th5), receiveIndex: receiverIndex, peerIndex: verified.body.receiverIndex,
      now: now)
    actions.append(.established(session))
  }

  /// A fragment that wasn't seen before.
  private mutating func progress(_ now: Instant) {
    fruitlessAcks = 0
    backoff.restart(now: now)
  }

  /// Drops a bad M2 as a whole and goes on waiting.
  private mutating func forget(
    _ reason: HandshakeDrop, _ now: Instant, _ actions: inout [HandshakeAction]
  ) {
    drop(reason, &actions)
    m2 = IncomingM2()
    fruitlessAcks = 0
    phase = .collecting
    backoff.restart(now: now)
  }
}
