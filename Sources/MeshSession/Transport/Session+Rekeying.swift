public import MeshCrypto
public import MeshWire

extension Session {
  /// When this end begins a rekey by age.
  var rekeyDue: Instant {
    epochs[sending].created + (role == .initiator ? Limits.rekeyAsInitiator : Limits.rekeyAsResponder)
  }

  /// Whether new keys exist that aren't sent with yet.
  var hasNewerKeys: Bool { epochs.count > sending + 1 }

  mutating func startRekey(_ now: Instant, _ actions: inout [SessionAction]) {
    rekey.phase = .makingOffer
    rekey.tries = 0
    rekey.lastRequest = nil
    actions.append(.compute(.makeOffer))
  }

  mutating func repeatRequest(_ now: Instant, _ actions: inout [SessionAction]) {
    guard case .asking(_, let request, let index) = rekey.phase else {
      rekey.nextRequest = nil
      return
    }
    guard rekey.tries < Limits.rekeyTries else {
      actions.append(.indexRetired(index))
      rekey.stop()
      return
    }
    rekey.tries += 1
    // Who has not been heard since the last one may be gone, and is asked ever more rarely.
    let isHeard = rekey.lastRequest.map { lastReceived > $0 } ?? true
    rekey.pause = isHeard ? Limits.rekeyInterval : min(rekey.pause * 2, Limits.longestRekeyInterval)
    rekey.lastRequest = now
    rekey.nextRequest = now + rekey.pause
    _ = send(control: request, now: now, into: &actions)
  }

  mutating func receiveRekeyRequest(
    _ message: [UInt8], _ now: Instant, _ actions: inout [SessionAction]
  ) -> TransportDrop? {
    guard !isSuperseded, let request = RekeyMessage(message), let offer = KeyExchangeOffer(request.exchange),
      request.generation == generation &+ 1
    else { return .rekeyRefused }
    if hasNewerKeys {
      guard let answered = rekey.answered, answered.request == message else { return .rekeyRefused }
      _ = send(control: answered.answer, now: now, into: &actions)
      return nil
    }
    // Old keys are kept for 10 s; whoever rekeys faster than that waits for them to go.
    guard epochs.count <= Limits.oldEpochs else { return .rekeyRefused }
    switch rekey.phase {
    case .idle: break
    case .makingOffer, .asking:
      // Both ask: the handshake initiator's request stands.
      guard role == .responder else { return .rekeyRefused }
      if let index = rekey.reservedIndex { actions.append(.indexRetired(index)) }
      rekey.stop()
    case .opening, .answering: return .rekeyRefused
    }
    rekey.phase = .answering(request: message, peerIndex: request.receiverIndex)
    actions.append(.compute(.answer(offer)))
    return nil
  }

  mutating func receiveRekeyAnswer(
    _ message: [UInt8], _ actions: inout [SessionAction]
  ) -> TransportDrop? {
    guard case .asking(let keys, let request, let index) = rekey.phase, let answer = RekeyMessage(message),
      let exchange = KeyExchangeAnswer(answer.exchange), answer.generation == generation &+ 1
    else { return .rekeyRefused }
    rekey.phase = .opening(
      request: request, answer: message, receiveIndex: index, peerIndex: answer.receiverIndex)
    rekey.nextRequest = nil
    actions.append(.compute(.open(exchange, with: keys)))
    return nil
  }

  /// Takes the result of the outstanding job.
  public mutating func computed(
    _ result: CryptoResult, now: Instant, freshIndex: () -> UInt32, into actions: inout [SessionAction]
  ) {
    // What was begun before another session took over must not bring this one back to life.
    guard !isSuperseded, !isExpired else {
      if let index = rekey.reservedIndex { actions.append(.indexRetired(index)) }
      rekey.stop()
      return
    }
    switch (rekey.phase, result) {
    case (.makingOffer, .offer(let keys)):
      let index = freshIndex()
      let request = RekeyMessage.encode(
        RekeyMessage.request, generation: generation &+ 1, receiverIndex: index, exchange: keys.offer.bytes)
      rekey.phase = .asking(keys, request: request, receiveIndex: index)
      actions.append(.indexAdded(index))
      repeatRequest(now, &actions)
    case (.answering(let request, let peerIndex), .answered(let answer, let shared)):
      let index = freshIndex()
      let message = RekeyMessage.encode(
        RekeyMessage.answer, generation: generation &+ 1, receiverIndex: index, exchange: answer.bytes)
      rekey.stop()
      rekey.answered = (request, message)
      actions.append(.indexAdded(index))
      addKeys(request, message, shared, receiveIndex: index, peerIndex: peerIndex, now)
      _ = send(control: message, now: now, into: &actions)
    case (.opening(let request, let answer, let index, let peerIndex), .opened(let shared)):
      rekey.stop()
      addKeys(request, answer, shared, receiveIndex: index, peerIndex: peerIndex, now)
      useNewKeys(epochs.count - 1, now, &actions)
    case (.opening(_, _, let index, _), _):
      actions.append(.indexRetired(index))
      retryRekey(now)
    // A stale result of an offer that lost to the peer's request: the answer is still on its way.
    case (.answering, .offer): return
    case (.makingOffer, _), (.answering, _): retryRekey(now)
    case (.idle, _), (.asking, _): return
    }
  }

  /// A job failed: once more in a second.
  private mutating func retryRekey(_ now: Instant) {
    rekey.stop()
    rekey.nextRequest = now + Limits.rekeyInterval
  }

  /// Keys of the next generation, to receive with.
  private mutating func addKeys(
    _ request: [UInt8], _ answer: [UInt8], _ shared: SharedSecret, receiveIndex: UInt32, peerIndex: UInt32,
    _ now: Instant
  ) {
    let root = TransportKeys.nextRoot(epochs[sending].root, request: request, answer: answer, shared: shared)
    epochs.append(
      Epoch(
        generation: generation &+ 1, suite: suite, root: root, role: role, receiveIndex: receiveIndex,
        peerIndex: peerIndex, now: now))
  }

  /// From here on the keys at `position` are sent with. The older ones are received until 10 s after the
  /// first packet under these: until one comes, the peer may not know that they are in use.
  mutating func useNewKeys(_ position: Int, _ now: Instant, _ actions: inout [SessionAction]) {
    sending = position
    rekey.confirmations = 0
    askedForKeys = false
    confirmNewKeys(now, &actions)
  }

  /// An empty packet under the new keys, each second until one comes back.
  mutating func confirmNewKeys(_ now: Instant, _ actions: inout [SessionAction]) {
    confirm(now: now, into: &actions)
    rekey.confirmations += 1
    rekey.nextConfirmation =
      epochs[sending].isProven || rekey.confirmations >= Limits.rekeyConfirmations
      ? nil : now + Limits.rekeyInterval
  }
}
