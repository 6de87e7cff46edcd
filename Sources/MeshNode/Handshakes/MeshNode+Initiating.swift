import Kademlia
import MeshCrypto
import MeshRelay
import MeshSession
import MeshWire

extension MeshNode {
  /// First wait after a failed attempt; doubles up to five minutes.
  static let firstRetry: Duration = .seconds(5)
  static let longestRetry: Duration = .seconds(300)
  /// An IP packet shortens the wait to this.
  static let urgentRetry: Duration = .seconds(2)

  /// Wants a session with this neighbour: begins a handshake, or first a look-up for where it is.
  mutating func connect(_ slot: Int, urgent: Bool, now: Instant) {
    guard neighbours.entries[slot].current == nil else { return }
    beginAttempt(slot, urgent: urgent, now: now)
  }

  /// - Parameter hasLookedUp: whether the newest record that can be had is here. After a failure the peer is
  ///   looked up again first: it may be somewhere else by now.
  mutating func beginAttempt(_ slot: Int, urgent: Bool, hasLookedUp: Bool = false, now: Instant) {
    guard neighbours.entries[slot].attempt == nil else { return }
    neighbours.entries[slot].lastUsed = now
    if let retryAt = neighbours.entries[slot].retryAt {
      let wait = retryAt - now
      if wait > .zero {
        guard urgent, wait > Self.urgentRetry else { return }
        neighbours.entries[slot].retryAt = now + Self.urgentRetry
        return
      }
    }
    refreshCandidates(slot)
    let neighbour = neighbours.entries[slot]
    let mayHaveMoved = neighbour.isPeer && neighbour.failures > 0 && !hasLookedUp
    guard let keyHash = neighbour.keyHash, !neighbour.candidates.isEmpty, !mayHaveMoved else {
      guard neighbour.lookup == nil else { return }
      findEndpoints(slot, now: now)
      // Meanwhile it may say itself where it is.
      if neighbour.isPeer { askForIntroduction(slot, now: now) }
      return
    }
    let sendsPublicKey = !neighbour.holdsOurKey
    let entropy = InitiatorEntropy(
      id: random.next(), random: random.bytes(32), receiverIndex: freshIndex(), jitterSeed: random.next())
    var attempt = Attempt(
      initiator: Initiator(
        responder: keyHash, responderKey: neighbour.publicKey ?? records.record(neighbour.peerID)?.publicKey,
        own: own, sendsPublicKey: sendsPublicKey, suites: configuration.suites, entropy: entropy, now: now),
      targets: neighbour.candidates, answered: nil, startedAt: now, sendsPublicKey: sendsPublicKey)
    counters.handshakesStarted += 1
    var actions: [HandshakeAction] = []
    attempt.initiator.start(now: now, into: &actions)
    neighbours.entries[slot].attempt = attempt
    attempts[entropy.id] = neighbour.peerID
    perform(actions, slot: slot, now: now)
    introduceIfDue(slot, now: now)
    wishForStream(slot, now: now)
    if neighbour.isPeer { wantRelay(slot, now: now) }
  }

  /// Endpoints of the record, and those that the owner gave, go behind what is known to have worked.
  private mutating func refreshCandidates(_ slot: Int) {
    let known = Set(neighbours.entries[slot].candidates.map(\.endpoint))
    let fromOwner =
      neighbours.entries[slot].entry?.endpoints.map { Candidate(endpoint: $0, origin: .owner) } ?? []
    let record = records.lastKnown(neighbours.entries[slot].peerID)
    let fromRecord =
      record?.endpoints.filter(mayDial).map { Candidate(endpoint: $0, origin: .record) } ?? []
    for candidate in fromRecord + fromOwner
    where !known.contains(candidate.endpoint) {
      if neighbours.entries[slot].candidates.count >= NodeLimits.candidates {
        // The owner's word and a signed record go before hearsay.
        guard let hearsay = neighbours.entries[slot].candidates.lastIndex(where: \.origin.isHearsay) else {
          return
        }
        neighbours.entries[slot].candidates.remove(at: hearsay)
      }
      neighbours.entries[slot].candidates.append(candidate)
    }
  }

  func mayDial(_ endpoint: Endpoint) -> Bool {
    endpoint.isDialable
      || (configuration.permitsLoopback && endpoint.address.isLoopback && endpoint.port != 0)
  }

  /// Whether anything may go to where a datagram seems to come from. Circuits and streams are ours to name:
  /// no datagram can seem to come from one.
  func mayAnswer(_ source: Endpoint) -> Bool { mayDial(source) || source.carrier != .udp }

  mutating func receiveHandshake(_ datagram: [UInt8], from source: Endpoint, now: Instant) {
    if datagram[0] != 2, datagram[0] != 6, let id = Initiator.id(in: datagram.span),
      let peerID = attempts[id],
      let slot = neighbours.slot(peerID)
    {
      receiveAsInitiator(datagram, from: source, slot: slot, now: now)
    } else {
      receiveAsResponder(datagram, from: source, now: now)
    }
  }

  private mutating func receiveAsInitiator(
    _ datagram: [UInt8], from source: Endpoint, slot: Int, now: Instant
  ) {
    guard let attempt = neighbours.entries[slot].attempt else { return }
    guard let target = attempt.targets.first(where: { $0.endpoint == source }),
      attempt.answered.map({ $0.endpoint == target.endpoint }) ?? true
    else { return counters.count(.handshakeMalformed) }
    var actions: [HandshakeAction] = []
    neighbours.entries[slot].attempt!.initiator.receive(datagram, now: now, into: &actions)
    neighbours.entries[slot].attempt!.heardFrom = target
    // Only who has sealed something for us is listened to alone: anyone who saw M1 can send the rest.
    if neighbours.entries[slot].attempt!.initiator.hasHeardResponder {
      neighbours.entries[slot].attempt!.answered = target
    }
    perform(actions, slot: slot, now: now)
  }

  mutating func initiatorComputed(_ peerID: PeerID, _ id: UInt64, _ result: CryptoResult, _ now: Instant) {
    guard let slot = neighbours.slot(peerID), neighbours.entries[slot].attempt?.initiator.id == id else {
      return
    }
    var actions: [HandshakeAction] = []
    neighbours.entries[slot].attempt!.initiator.computed(result, now: now, into: &actions)
    if neighbours.entries[slot].attempt!.initiator.hasHeardResponder {
      // All of M2 was here before it could be opened.
      let heardFrom = neighbours.entries[slot].attempt!.heardFrom
      neighbours.entries[slot].attempt!.answered = neighbours.entries[slot].attempt!.answered ?? heardFrom
    }
    // M1 gives the attempt its name.
    attempts[id] = nil
    attempts[neighbours.entries[slot].attempt!.initiator.id] = peerID
    perform(actions, slot: slot, now: now)
  }

  mutating func perform(_ actions: [HandshakeAction], slot: Int, now: Instant) {
    for action in actions {
      switch action {
      case .send(let datagram): sendHandshake(datagram, slot: slot)
      case .compute(let job):
        guard let id = neighbours.entries[slot].attempt?.initiator.id else { continue }
        compute(job, for: .initiator(neighbours.entries[slot].peerID, id: id))
      case .established(let session): initiated(session, slot: slot, now: now)
      case .failed(let failure): attemptFailed(slot, failure, now: now)
      case .dropped(let reason): counters.count(DropReason(reason))
      }
    }
  }

  private mutating func sendHandshake(_ datagram: [UInt8], slot: Int) {
    guard let attempt = neighbours.entries[slot].attempt else { return }
    if let answered = attempt.answered {
      emit(.send(datagram, to: answered.endpoint))
    } else {
      // The first fragment of M1 begins a round.
      if datagram[0] == 2, datagram[3] == 0 { neighbours.entries[slot].attempt!.rounds += 1 }
      let window = neighbours.entries[slot].attempt?.window ?? []
      for target in window { emit(.send(datagram, to: target.endpoint)) }
    }
  }

  private mutating func initiated(_ session: Session, slot: Int, now: Instant) {
    guard let attempt = neighbours.entries[slot].attempt,
      let answered = attempt.answered ?? attempt.targets.first
    else { return }
    neighbours.entries[slot].attempt?.serial = nextSerial
    neighbours.entries[slot].isProved = true
    neighbours.entries[slot].publicKey = attempt.initiator.provedKey
    install(
      session, slot: slot, endpoint: answered.endpoint, origin: answered.origin, startedAt: attempt.startedAt,
      now: now)
  }

  private mutating func attemptFailed(_ slot: Int, _ failure: HandshakeFailure, now: Instant) {
    guard let attempt = neighbours.entries[slot].attempt else { return }
    endAttempt(slot)
    neighbours.entries[slot].holdsOurKey = false
    neighbours.entries[slot].dropHints()
    // What waited for the peer to get our M3 waits in vain (SMH1.md §11).
    if let serial = attempt.serial, neighbours.entries[slot].previous?.serial == serial { endPrevious(slot) }
    if let current = neighbours.entries[slot].current {
      // A session of another handshake goes on, if the peer is heard in it. One that this attempt began and
      // that was never confirmed does not, and neither does one that fell silent before: the peer may be
      // somewhere else, and is looked for only when there is no session.
      let isOfThis = current.serial == attempt.serial
      guard isOfThis || current.session.lastHeard < attempt.startedAt else { return }
      endCurrent(
        slot, reason: isOfThis ? "it never confirmed the session" : "it answers no more", now: now)
    }
    let silence = "nobody answered within 30 s" + introductionTrouble(slot, since: attempt.startedAt)
    noSession(slot, reason: failure == .timedOut ? silence : "a local operation failed", now: now)
  }

  /// What backbones had to do with it that a peer did not answer; empty for nothing.
  private func introductionTrouble(_ slot: Int, since start: Instant) -> String {
    let neighbour = neighbours.entries[slot]
    guard neighbour.isPeer, backboneCount > 0 else { return "" }
    if neighbour.lastIntroductions.values.contains(where: { $0 >= start }) {
      return ", at none of the addresses that a backbone named either"
    }
    if neighbour.isKnownAway { return ", and the backbone has no session with it" }
    let isAsked = neighbours.entries.contains { $0.isBackbone && $0.isConnected }
    return isAsked ? ", and no backbone passed on a word of it" : ", and no backbone answers"
  }

  mutating func endAttempt(_ slot: Int) {
    if let id = neighbours.entries[slot].attempt?.initiator.id { attempts[id] = nil }
    neighbours.entries[slot].attempt = nil
  }

  /// An attempt, or the look-up before it, has come to nothing: wait, longer each time.
  mutating func noSession(_ slot: Int, reason: String, now: Instant) {
    let failures = neighbours.entries[slot].failures
    neighbours.entries[slot].failures = min(failures + 1, 16)
    let wait = min(Self.firstRetry * (1 << min(failures, 6)), Self.longestRetry)
    neighbours.entries[slot].retryAt = now + wait
    let peerID = neighbours.entries[slot].peerID
    for _ in neighbours.entries[slot].queue { counters.count(.noSession) }
    neighbours.entries[slot].queue.removeAll()
    neighbours.entries[slot].controlQueue.removeAll()
    if neighbours.entries[slot].current == nil { relays.noteLost(peerID, .unreachable) }
    _ = table.failed(peerID)
    lookups.contactFailed(peerID, now: now)
    counters.handshakesFailed += 1
    neighbours.entries[slot].trouble = reason
    emit(.handshakeFailed(peerID, reason: reason))
    failPings(of: peerID, slot: slot)
    let neighbour = neighbours.entries[slot]
    if !neighbour.isPeer, !neighbour.isBackbone, !neighbour.isConnected { forget(slot) }
  }
}
