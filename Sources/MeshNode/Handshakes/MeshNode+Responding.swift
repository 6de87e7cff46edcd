import MeshCrypto
import MeshSession
import MeshWire

extension MeshNode {
  mutating func receiveAsResponder(_ datagram: [UInt8], from source: Endpoint, now: Instant) {
    guard mayAnswer(source) else { return counters.count(.sourceRefused) }
    let index = freshIndex()
    var actions: [ResponderAction] = []
    do {
      // Holds the tables only as long as the call: a copy that lived on would make the next change copy them.
      let rule = AdmissionRule(
        neighbours: neighbours, records: records, own: own.keyHash, room: room(for: source))
      responders.receive(
        datagram, from: source, now: now, queuedJobs: jobs.count, freshIndex: { index },
        admission: rule.admit,
        into: &actions)
    }
    perform(actions, now: now)
  }

  mutating func responderComputed(_ id: HalfOpenID, _ result: CryptoResult, _ now: Instant) {
    var actions: [ResponderAction] = []
    responders.computed(id, result, now: now, into: &actions)
    perform(actions, now: now)
  }

  mutating func perform(_ actions: [ResponderAction], now: Instant) {
    for action in actions {
      switch action {
      case .send(let datagram, let endpoint): emit(.send(datagram, to: endpoint))
      case .compute(let id, let job): compute(job, for: .responder(id))
      case .established(let session, let peerKey, let endpoint, let early):
        accepted(session, peerKey, endpoint, early, now: now)
      case .confirmAgain(let index, let endpoint): confirmAgain(index, endpoint, now: now)
      case .indexRetired: break  // never routed: only installed sessions are
      case .dropped(let reason): counters.count(DropReason(reason))
      }
    }
  }

  private mutating func accepted(
    _ session: Session, _ peerKey: IdentityPublicKey, _ endpoint: Endpoint, _ early: [[UInt8]], now: Instant
  ) {
    let peerID = session.peer.peerID
    // Admission was judged before the key was verified; the tables may have changed since.
    guard session.peer != own.keyHash, let slot = slotForAuthenticated(session.peer, endpoint, now: now)
    else {
      counters.count(.tableFull)
      return
    }
    if neighbours.entries[slot].keyHash != session.peer { endAttempt(slot) }
    let isNews = neighbours.entries[slot].pinned == nil
    neighbours.entries[slot].publicKey = peerKey
    neighbours.entries[slot].keyHash = session.peer
    neighbours.entries[slot].isProved = true
    if isNews, neighbours.entries[slot].isPeer { emit(.peerPinned(peerID, peerKey)) }
    // Whoever proves its key by M3 holds ours: it verified M2 with it.
    neighbours.entries[slot].holdsOurKey = false
    neighbours.entries[slot].bytesOut += UInt64(Layout.emptySize)  // the M4 that has just gone out
    install(session, slot: slot, endpoint: endpoint, origin: .inbound, startedAt: now, now: now)
    for datagram in early {
      guard neighbours.slot(peerID) != nil else { return }
      var bytes = datagram
      var span = bytes.mutableSpan
      if case .packet(let range) = receive(&span, from: endpoint, now: now) {
        emit(.deliver(Array(bytes[range])))
      }
    }
  }

  /// The slot of a node that has just proved its KeyHash; a new one of the control class if there is room.
  private mutating func slotForAuthenticated(
    _ keyHash: KeyHash, _ endpoint: Endpoint, now: Instant
  ) -> Int? {
    if let slot = neighbours.slot(keyHash.peerID) {
      guard let pinned = neighbours.entries[slot].pinned, pinned != keyHash else { return slot }
      emit(.identityConflict(keyHash.peerID, pinned: pinned, seen: keyHash))
      return nil
    }
    guard hasRoom(for: endpoint) else { return nil }
    makeRoom()
    var neighbour = Neighbour(peerID: keyHash.peerID, now: now)
    neighbour.inboundPrefix = endpoint.address.limitPrefix
    return neighbours.add(neighbour)
  }

  /// Whether a stranger from there may have a session: not when its network has its share already.
  private func hasRoom(for source: Endpoint) -> Bool { room(for: source).isThere(among: neighbours) }

  private func room(for source: Endpoint) -> StrangersRoom {
    guard !(configuration.permitsLoopback && source.address.isLoopback) else { return .unlimited }
    return .perPrefix(
      source.address.limitPrefix,
      limit: configuration.serviceType == .backbone
        ? NodeLimits.backboneSessionsPerPrefix : NodeLimits.controlSessionsPerPrefix)
  }

  /// When strangers have all the places that they may have, the one that has been quiet for longest goes.
  private mutating func makeRoom() {
    let inbound = neighbours.entries.indices.filter {
      let neighbour = neighbours.entries[$0]
      return !neighbour.isPeer && !neighbour.isKept && neighbour.inboundPrefix != nil
    }
    let limit =
      configuration.serviceType == .backbone
      ? NodeLimits.backboneSessions : NodeLimits.inboundControlSessions
    guard inbound.count >= limit else { return }
    counters.count(.tableFull)
    let quietest = inbound.min { lastSign(of: $0) < lastSign(of: $1) }
    if let quietest { forget(quietest) }
  }

  /// A backbone's nodes only keep in touch; elsewhere a session that nobody asks anything in is idle.
  private func lastSign(of slot: Int) -> Instant {
    let neighbour = neighbours.entries[slot]
    let isBackbone = configuration.serviceType == .backbone
    return isBackbone ? neighbour.lastHeard ?? neighbour.lastUsed : neighbour.lastUsed
  }

  private mutating func confirmAgain(_ index: UInt32, _ endpoint: Endpoint, now: Instant) {
    guard let slot = neighbours.slot(receiverIndex: index),
      neighbours.entries[slot].current?.session.receives(index) ?? false
    else { return }
    neighbours.entries[slot].current!.session.confirm(at: endpoint, now: now, into: &sessionActions)
    performSessionActions(slot, current: true, now)
  }
}

/// How many strangers of one network may have sessions.
enum StrangersRoom {
  case unlimited
  case perPrefix(IPAddress, limit: Int)

  func isThere(among neighbours: NeighbourTable) -> Bool {
    guard case .perPrefix(let prefix, let limit) = self else { return true }
    return neighbours.entries.count { !$0.isPeer && $0.inboundPrefix == prefix } < limit
  }
}

/// What the session classes say to a KeyHash before its signature is looked at (protocol.md §6).
struct AdmissionRule {
  let neighbours: NeighbourTable
  let records: RecordCache
  let own: KeyHash
  /// What its network has room for, looked at only once the handshake has come so far.
  let room: StrangersRoom

  func admit(_ keyHash: KeyHash) -> Admission {
    guard keyHash != own else { return .refuse }
    let recordKey = records.record(keyHash.peerID).flatMap { $0.keyHash == keyHash ? $0.publicKey : nil }
    if let slot = neighbours.slot(keyHash.peerID) {
      let neighbour = neighbours.entries[slot]
      if let pinned = neighbour.pinned, pinned != keyHash { return .refuse }
      let known = [neighbour.publicKey, neighbour.entry?.publicKey, recordKey].compactMap { $0 }
      return .accept(knownKey: known.first { $0.keyHash == keyHash })
    }
    return room.isThere(among: neighbours) ? .accept(knownKey: recordKey) : .refuse
  }
}
