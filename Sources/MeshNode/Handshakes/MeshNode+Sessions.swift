import Kademlia
import MeshCrypto
import MeshPaths
import MeshRelay
import MeshSession
import MeshWire

extension MeshNode {
  /// Puts a new session into use.
  mutating func install(
    _ session: Session, slot: Int, endpoint: Endpoint, origin: Candidate.Origin, startedAt: Instant,
    now: Instant
  ) {
    var session = session
    session.keepalive = keepalive
    let live = LiveSession(
      session: session, serial: nextSerial, endpoint: endpoint, origin: origin, since: now)
    nextSerial += 1
    if var existing = neighbours.entries[slot].current {
      neighbours.entries[slot].current = nil
      let wasUnderWay =
        existing.session.role == .responder && session.role == .initiator && startedAt <= existing.since
      if wasUnderWay {
        // It has the lower hash, or it would have been ended; it waits for the peer as below.
        neighbours.entries[slot].current = existing
        setPrevious(live, slot)
      } else if existing.session.stays(beside: session), existing.session.confirmedAt != nil {
        // It has opened a packet since the other handshake began: the peer has it, and counts on it.
        var loser = live
        loser.session.supersede(by: existing.session, now: now)
        neighbours.entries[slot].current = existing
        setPrevious(loser, slot)
      } else if existing.session.stays(beside: session) {
        // The peer may never get our M3: what goes out meanwhile goes in the session that it has for certain.
        neighbours.entries[slot].current = live
        setPrevious(existing, slot)
      } else {
        existing.session.supersede(by: session, now: now)
        // Its M3 needs no resending: the peer has sent M3 for the one that stays.
        if neighbours.entries[slot].attempt?.serial == existing.serial { endAttempt(slot) }
        setPrevious(existing, slot)
        neighbours.entries[slot].current = live
      }
    } else {
      neighbours.entries[slot].current = live
    }
    for index in session.receiveIndexes { neighbours.route(index, to: slot) }
    if session.role == .responder { endLosingAttempt(slot, session) }
    beginPaths(slot, now: now)
    notePathSizes()
    connected(slot, endpoint: endpoint, took: now - startedAt, now: now)
  }

  /// Our own handshake that would end with a higher hash than a session which the peer began: its M3 must not
  /// go out any more. The peer couldn't tell it from one that we begin after this session.
  private mutating func endLosingAttempt(_ slot: Int, _ session: Session) {
    guard let attempt = neighbours.entries[slot].attempt, attempt.serial == nil else { return }
    if let hash = attempt.initiator.handshakeHash, hash.lexicographicallyPrecedes(session.handshakeHash) {
      return
    }
    endAttempt(slot)
  }

  /// The peer has our M3 too, so the session with the lower hash takes the place of the other one.
  private mutating func promotePrevious(_ slot: Int, now: Instant) {
    guard let winner = neighbours.entries[slot].previous, !winner.session.isOver,
      var loser = neighbours.entries[slot].current
    else { return }
    neighbours.entries[slot].previous = nil
    neighbours.entries[slot].current = nil
    loser.session.supersede(by: winner.session, now: now)
    neighbours.entries[slot].current = winner
    neighbours.entries[slot].previous = loser
    beginPaths(slot, now: now)
    notePathSizes()
  }

  private mutating func setPrevious(_ live: LiveSession, _ slot: Int) {
    for index in neighbours.entries[slot].previous?.session.receiveIndexes ?? [] { neighbours.unroute(index) }
    if let serial = neighbours.entries[slot].previous?.serial,
      neighbours.entries[slot].attempt?.serial == serial
    {
      endAttempt(slot)
    }
    neighbours.entries[slot].previous = live
  }

  private mutating func connected(_ slot: Int, endpoint: Endpoint, took: Duration, now: Instant) {
    neighbours.entries[slot].failures = 0
    neighbours.entries[slot].trouble = nil
    neighbours.entries[slot].retryAt = nil
    neighbours.entries[slot].lastHeard = now
    neighbours.entries[slot].lastUsed = now
    neighbours.entries[slot].handshakeTook = took
    neighbours.entries[slot].addCandidate(endpoint, .lastUsed)
    counters.handshakesCompleted += 1
    let peerID = neighbours.entries[slot].peerID
    if let keyHash = neighbours.entries[slot].keyHash { meet(keyHash, endpoint, now: now) }
    guard let slot = neighbours.slot(peerID) else { return }
    if neighbours.entries[slot].isPeer, let keyHash = neighbours.entries[slot].keyHash {
      emit(.peerConnected(peerID, keyHash, endpoint, handshake: took))
      greet(slot, now: now)
    }
    if neighbours.entries[slot].isBackbone { observeAgain(slot, now: now) }
    confirmPlace(with: peerID, now: now)
    flushQueues(slot, now: now)
    sendWaitingPings(slot, now: now)
    if neighbours.entries[slot].redeeming != nil {
      neighbours.entries[slot].redeeming?.next = now
      redeemAgain(slot, now: now)
    }
    lookupContactConnected(slot, now: now)
  }

  /// A node that has just authenticated goes into the routing table.
  mutating func meet(_ keyHash: KeyHash, _ endpoint: Endpoint, now: Instant) {
    let sequence = records.record(keyHash.peerID)?.body.sequence.value ?? 0
    let contact = Contact(keyHash: keyHash, endpoint: endpoint, sequence: sequence, lastSeen: now)
    let weDialled = neighbours.slot(keyHash.peerID).flatMap { neighbours.entries[$0].current?.session.role }
    let outcome = table.insert(contact, mayPing: weDialled == .initiator, now: now)
    switch outcome {
    case .inserted, .updated, .displaced: return askForItsRecord(keyHash.peerID, now: now)
    case .cached, .refused: return
    case .pingOldest: break
    }
    guard case .pingOldest(let oldest) = outcome else { return }
    if let slot = neighbours.slot(oldest.peerID), neighbours.entries[slot].isConnected {
      _ = table.seen(oldest.peerID, now: now)
    } else {
      reach(oldest.hint, with: .ping(requests.anonymous()), now: now)
    }
  }

  /// What peers say to each other first: our record, and the question whether they have us as a peer.
  private mutating func greet(_ slot: Int, now: Instant) {
    if let ownRecord {
      sendControl(.announce(.init(bundle: ownRecord.bundle)), slot: slot, now: now)
    }
    sendControl(.ping(requests.anonymous()), slot: slot, now: now)
  }

  /// Carries out what a session asked for. `current` says which of the two of this neighbour.
  mutating func performSessionActions(_ slot: Int, current: Bool, _ now: Instant) {
    let peerID = neighbours.entries[slot].peerID
    let serial = (current ? neighbours.entries[slot].current : neighbours.entries[slot].previous)?.serial
    while !sessionActions.isEmpty {
      let pending = sessionActions
      sessionActions.removeAll(keepingCapacity: true)
      for action in pending {
        guard let slot = neighbours.slot(peerID) else { return }
        // One of the actions may be that it becomes the current one.
        let current = neighbours.entries[slot].current?.serial == serial
        guard let path = path(slot, current: current), path.serial == serial else { return }
        perform(action, of: path, slot: slot, current: current, now)
      }
    }
  }

  /// The part of a session that carrying out its actions needs; a copy of the whole would make the next
  /// packet copy it.
  private func path(_ slot: Int, current: Bool) -> (serial: UInt64, endpoint: Endpoint)? {
    current
      ? neighbours.entries[slot].current.map { ($0.serial, $0.endpoint) }
      : neighbours.entries[slot].previous.map { ($0.serial, $0.endpoint) }
  }

  private mutating func perform(
    _ action: SessionAction, of live: (serial: UInt64, endpoint: Endpoint), slot: Int, current: Bool,
    _ now: Instant
  ) {
    switch action {
    case .send(let datagram), .sendProbe(let datagram):
      neighbours.entries[slot].bytesOut += UInt64(datagram.count)
      emit(.send(datagram, to: live.endpoint))
    case .sendElsewhere(let datagram, let endpoint):
      guard mayAnswer(endpoint) else { return counters.count(.sourceRefused) }
      neighbours.entries[slot].bytesOut += UInt64(datagram.count)
      emit(.send(datagram, to: endpoint))
    case .wantsChallenge(let endpoint, let received):
      challenge(slot, current: current, at: endpoint, received: received, now: now)
    case .moved(let endpoint): if current { moved(slot, to: endpoint, now: now) }
    case .checked(let id, let endpoint): checked(slot, current: current, id, from: endpoint, now: now)
    case .checkAnswered(let id, let endpoint):
      if current { checkAnswered(slot, id, from: endpoint, now: now) }
    case .compute(let job):
      compute(job, for: .session(neighbours.entries[slot].peerID, serial: live.serial))
    case .indexAdded(let index):
      counters.rekeys += 1
      neighbours.route(index, to: slot)
    case .indexRetired(let index): neighbours.unroute(index)
    case .confirmed:
      if !current { promotePrevious(slot, now: now) }
      confirmed(slot, live.serial)
    case .wantsHandshake(let reason):
      if current {
        if reason == .silence {
          neighbours.entries[slot].retryAt = nil
          // It may have restarted and forgotten our key.
          neighbours.entries[slot].holdsOurKey = false
          neighbours.entries[slot].paths.addressesChanged(now: now)
        }
        beginAttempt(slot, urgent: true, now: now)
      }
    case .expired:
      if current {
        endCurrent(slot, reason: "its keys have reached their limit", now: now)
      } else {
        endPrevious(slot)
      }
    case .pathPayload: notePathSizes()
    case .dropped(let reason): counters.count(DropReason(reason))
    }
  }

  private mutating func confirmed(_ slot: Int, _ serial: UInt64) {
    guard let attempt = neighbours.entries[slot].attempt, attempt.serial == serial else { return }
    endAttempt(slot)
    if attempt.sendsPublicKey { neighbours.entries[slot].holdsOurKey = true }
  }

  mutating func sessionComputed(_ peerID: PeerID, _ serial: UInt64, _ result: CryptoResult, _ now: Instant) {
    guard let slot = neighbours.slot(peerID) else { return }
    let index = freshIndex()
    if neighbours.entries[slot].current?.serial == serial {
      neighbours.entries[slot].current!.session.computed(
        result, now: now, freshIndex: { index }, into: &sessionActions)
      performSessionActions(slot, current: true, now)
    } else if neighbours.entries[slot].previous?.serial == serial {
      neighbours.entries[slot].previous!.session.computed(
        result, now: now, freshIndex: { index }, into: &sessionActions)
      performSessionActions(slot, current: false, now)
    }
  }

  /// Ends the session that is in use; peers are connected to again when their time comes.
  mutating func endCurrent(_ slot: Int, reason: String, now: Instant) {
    guard let live = neighbours.entries[slot].current else { return }
    for index in live.session.receiveIndexes { neighbours.unroute(index) }
    neighbours.entries[slot].current = nil
    neighbours.entries[slot].paths.ended()
    neighbours.entries[slot].addedUs = nil
    notePathSizes()
    relays.noteLost(neighbours.entries[slot].peerID, .broken)
    if neighbours.entries[slot].isPeer { emit(.peerLost(neighbours.entries[slot].peerID, reason: reason)) }
  }

  mutating func endPrevious(_ slot: Int) {
    for index in neighbours.entries[slot].previous?.session.receiveIndexes ?? [] { neighbours.unroute(index) }
    neighbours.entries[slot].previous = nil
  }

  /// Drops all that is known of a neighbour, except its record and its place in the routing table.
  mutating func forget(_ slot: Int) {
    endAttempt(slot)
    if let lookup = neighbours.entries[slot].lookup { lookups.active[lookup] = nil }
    relays.noteLost(neighbours.entries[slot].peerID, .broken)
    _ = neighbours.remove(slot)
  }
}
