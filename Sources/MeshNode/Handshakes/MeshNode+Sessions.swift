import Kademlia
import MeshCrypto
import MeshSession
import MeshWire

extension MeshNode {
  /// Two handshakes that end this close to one another were begun by both sides at once (SMH1.md §11).
  static let simultaneousOpen: Duration = .seconds(10)

  /// Puts a new session into use.
  mutating func install(
    _ session: Session, slot: Int, endpoint: Endpoint, origin: Candidate.Origin, startedAt: Instant,
    now: Instant
  ) {
    let live = LiveSession(
      session: session, serial: nextSerial, endpoint: endpoint, origin: origin, since: now)
    nextSerial += 1
    if var existing = neighbours.entries[slot].current {
      neighbours.entries[slot].current = nil
      let simultaneous =
        existing.session.role != session.role && now - existing.since < Self.simultaneousOpen
      if simultaneous, existing.session.handshakeHash.lexicographicallyPrecedes(session.handshakeHash) {
        var loser = live
        loser.session.supersede(now: now)
        neighbours.entries[slot].current = existing
        setPrevious(loser, slot)
      } else {
        existing.session.supersede(now: now)
        setPrevious(existing, slot)
        neighbours.entries[slot].current = live
      }
    } else {
      neighbours.entries[slot].current = live
    }
    for index in session.receiveIndexes { neighbours.route(index, to: slot) }
    notePathSizes()
    connected(slot, endpoint: endpoint, took: now - startedAt, now: now)
  }

  private mutating func setPrevious(_ live: LiveSession, _ slot: Int) {
    for index in neighbours.entries[slot].previous?.session.receiveIndexes ?? [] { neighbours.unroute(index) }
    neighbours.entries[slot].previous = live
  }

  private mutating func connected(_ slot: Int, endpoint: Endpoint, took: Duration, now: Instant) {
    neighbours.entries[slot].failures = 0
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
    let outcome = table.insert(contact, now: now)
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
    while !sessionActions.isEmpty {
      let pending = sessionActions
      sessionActions.removeAll(keepingCapacity: true)
      for action in pending {
        guard let slot = neighbours.slot(peerID),
          let path = path(slot, current: current)
        else { return }
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
      neighbours.entries[slot].bytesOut += UInt64(datagram.count)
      emit(.send(datagram, to: endpoint))
    case .wantsChallenge(let endpoint, let received):
      challenge(slot, current: current, at: endpoint, received: received, now: now)
    case .moved(let endpoint): if current { moved(slot, to: endpoint, now: now) }
    case .compute(let job):
      compute(job, for: .session(neighbours.entries[slot].peerID, serial: live.serial))
    case .indexAdded(let index):
      counters.rekeys += 1
      neighbours.route(index, to: slot)
    case .indexRetired(let index): neighbours.unroute(index)
    case .confirmed: confirmed(slot, live.serial)
    case .wantsHandshake(let reason):
      if current {
        if reason == .silence {
          neighbours.entries[slot].retryAt = nil
          // It may have restarted and forgotten our key.
          neighbours.entries[slot].holdsOurKey = false
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
    neighbours.entries[slot].addedUs = nil
    notePathSizes()
    if neighbours.entries[slot].isPeer { emit(.peerLost(neighbours.entries[slot].peerID, reason: reason)) }
  }

  private mutating func endPrevious(_ slot: Int) {
    for index in neighbours.entries[slot].previous?.session.receiveIndexes ?? [] { neighbours.unroute(index) }
    neighbours.entries[slot].previous = nil
  }

  /// Drops all that is known of a neighbour, except its record and its place in the routing table.
  mutating func forget(_ slot: Int) {
    endAttempt(slot)
    if let lookup = neighbours.entries[slot].lookup { lookups.active[lookup] = nil }
    _ = neighbours.remove(slot)
  }
}
