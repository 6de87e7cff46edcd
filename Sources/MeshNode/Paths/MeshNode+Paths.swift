import MeshPaths
import MeshSession
public import MeshWire

extension MeshNode {
  /// Which of the ways to a peer an endpoint is.
  func pathKind(of endpoint: Endpoint) -> PathKind {
    switch endpoint.carrier {
    case .circuit(let circuit): .relayed(hops: hops(of: circuit))
    case .stream: .stream
    case .udp: endpoint.address.isPrivateUse ? .local : .direct
    }
  }

  /// A way to a peer has come into being: with a session it is checked, without one the handshake under way
  /// tries it at once.
  ///
  /// - Parameter backbone: who says so, if it isn't the peer itself.
  mutating func pathFound(
    _ endpoint: Endpoint, to peer: PeerID, origin: Candidate.Origin, by backbone: PeerID? = nil, now: Instant
  ) {
    guard let slot = neighbours.slot(peer) else { return }
    neighbours.entries[slot].addCandidate(endpoint, origin, by: backbone)
    if neighbours.entries[slot].current != nil {
      neighbours.entries[slot].paths.named(endpoint, pathKind(of: endpoint), by: backbone, now: now)
      advancePaths(slot, now: now)
    } else {
      tryAtOnce(Candidate(endpoint: endpoint, origin: origin, backbone: backbone), slot: slot, now: now)
    }
  }

  /// It is there no more.
  mutating func pathLost(_ endpoint: Endpoint, to peer: PeerID, now: Instant) {
    guard let slot = neighbours.slot(peer) else { return }
    neighbours.entries[slot].candidates.removeAll { $0.endpoint == endpoint }
    neighbours.entries[slot].attempt?.remove(endpoint)
    neighbours.entries[slot].paths.lost(endpoint, now: now)
    advancePaths(slot, now: now)
  }

  /// Sends M1 to one more endpoint, or begins a handshake.
  mutating func tryAtOnce(_ candidate: Candidate, slot: Int, now: Instant) {
    guard var attempt = neighbours.entries[slot].attempt else {
      neighbours.entries[slot].retryAt = nil
      return connect(slot, urgent: true, now: now)
    }
    let isNew = attempt.add(candidate)
    // Who else names one that is known is noted, too.
    neighbours.entries[slot].attempt = attempt
    guard isNew else { return }
    for datagram in attempt.initiator.firstMessage { emit(.send(datagram, to: candidate.endpoint)) }
  }

  /// The session in use has become another, or began: its path and all others.
  mutating func beginPaths(_ slot: Int, now: Instant) {
    guard let live = neighbours.entries[slot].current else { return }
    let kind = pathKind(of: live.endpoint)
    let paths = neighbours.entries[slot].paths
    let recent = max(now - live.session.begun, PathLimits.patience)
    if let known = paths.current, known.kind < kind, known.isProven, paths.hasHeard(within: recent, now: now)
    {
      // Both ends began at once, on paths of their own, and this one has found the better.
      neighbours.entries[slot].current?.endpoint = known.endpoint
      neighbours.entries[slot].paths.found(live.endpoint, kind, now: now)
    } else {
      neighbours.entries[slot].paths.established(on: live.endpoint, kind, now: now)
    }
    let endpoint = neighbours.entries[slot].current?.endpoint ?? live.endpoint
    if let limit = pathLimit(slot, to: endpoint) {
      neighbours.entries[slot].current?.session.pathChanged(limit: limit, now: now, into: &sessionActions)
    }
    // Whatever reaches a relay or a backbone will do, unless it is a stream.
    guard neighbours.entries[slot].isPeer || kind == .stream else { return advancePaths(slot, now: now) }
    for candidate in neighbours.entries[slot].candidates where candidate.origin != .hint {
      let namers: [PeerID?] = candidate.namers.isOnlyBackbones ? candidate.namers.backbones : [nil]
      for namer in namers {
        neighbours.entries[slot].paths.named(
          candidate.endpoint, pathKind(of: candidate.endpoint), by: namer, now: now)
      }
    }
    advancePaths(slot, now: now)
  }

  /// Carries out what the table of a neighbour's paths wants.
  mutating func advancePaths(_ slot: Int, now: Instant) {
    guard neighbours.entries[slot].current != nil else { return }
    let peerID = neighbours.entries[slot].peerID
    var wanted: [PathAction] = []
    var random = random
    let withheld = neighbours.entries[slot].paths.withheld
    neighbours.entries[slot].paths.backbones = backboneCount
    neighbours.entries[slot].paths.advance(to: now, nextID: { random.next() }, into: &wanted)
    self.random = random
    counters.checksWithheld += neighbours.entries[slot].paths.withheld - withheld
    for action in wanted {
      guard let slot = neighbours.slot(peerID), neighbours.entries[slot].current != nil else { return }
      switch action {
      case .check(let id, let endpoint):
        if asksForSize(slot, endpoint) {
          neighbours.entries[slot].current!.session.pathAsked(now: now, into: &sessionActions)
        }
        neighbours.entries[slot].current!.session.check(endpoint, id: id, now: now, into: &sessionActions)
        performSessionActions(slot, current: true, now)
      case .use(let endpoint, let change): use(endpoint, change, slot: slot, now: now)
      case .wantsCandidates:
        if neighbours.entries[slot].isPeer {
          exchangeCandidates(slot, now: now)
        } else {
          askAnew(slot, now: now)
        }
      case .wantsRelay:
        if neighbours.entries[slot].isPeer { wantAnotherRelay(slot, now: now) }
        wishForStream(slot, now: now)
      }
    }
  }

  /// A relay, or whoever else is asked things, is silent: it may have begun anew, and know nothing of the
  /// session. A handshake beside it finds out. Backbones have too many sessions for that: if one were slow,
  /// all would make it slower.
  private mutating func askAnew(_ slot: Int, now: Instant) {
    guard neighbours.entries[slot].paths.isInDoubt, !neighbours.entries[slot].isBackbone else { return }
    neighbours.entries[slot].holdsOurKey = false
    beginAttempt(slot, urgent: true, now: now)
  }

  /// Whether a check of this way says something of the size that goes there: cells and streams carry all
  /// sizes that are tried alike.
  private func asksForSize(_ slot: Int, _ endpoint: Endpoint) -> Bool {
    endpoint.carrier == .udp && neighbours.entries[slot].paths.inUse == endpoint
  }

  private mutating func use(_ endpoint: Endpoint, _ change: PathChange, slot: Int, now: Instant) {
    neighbours.entries[slot].current?.endpoint = endpoint
    neighbours.entries[slot].current?.origin = change == .better ? .better : .fallback
    neighbours.entries[slot].current!.session.pathChanged(
      limit: pathLimit(slot, to: endpoint), now: now, into: &sessionActions)
    performSessionActions(slot, current: true, now)
    counters.pathChanges += 1
    let neighbour = neighbours.entries[slot]
    if neighbour.isPeer, let path = pathStatus(neighbour) {
      emit(.pathChanged(neighbour.peerID, path, change.rawValue))
    }
    if change != .better { repeatUnsure(slot, by: endpoint, now: now) }
  }

  /// A check of the neighbour's came from there.
  mutating func checked(_ slot: Int, current: Bool, _ id: UInt64, from endpoint: Endpoint, now: Instant) {
    guard mayAnswer(endpoint) else { return counters.count(.sourceRefused) }
    if current {
      neighbours.entries[slot].current?.session.answerCheck(id, to: endpoint, now: now, into: &sessionActions)
    } else {
      neighbours.entries[slot].previous?.session.answerCheck(
        id, to: endpoint, now: now, into: &sessionActions)
    }
    // Strangers' addresses are not looked for: whoever writes a false source would have us send there.
    guard current, neighbours.entries[slot].isPeer else { return }
    neighbours.entries[slot].paths.checked(from: endpoint, pathKind(of: endpoint), now: now)
    advancePaths(slot, now: now)
  }

  mutating func checkAnswered(_ slot: Int, _ id: UInt64, from endpoint: Endpoint, now: Instant) {
    guard neighbours.entries[slot].paths.answered(id, from: endpoint, now: now) else {
      return counters.count(.controlMalformed)
    }
    if asksForSize(slot, endpoint) {
      neighbours.entries[slot].current?.session.pathAnswered(now: now, into: &sessionActions)
      performSessionActions(slot, current: true, now)
    }
    advancePaths(slot, now: now)
  }

  /// The owner wants a peer's session and all that is known of its paths forgotten, and begun anew. Returns
  /// whether it is a peer.
  public mutating func resetPeer(_ peerID: PeerID, now: Instant) -> Bool {
    guard let slot = neighbours.slot(peerID), neighbours.entries[slot].isPeer else { return false }
    endCurrent(slot, reason: "its owner reset it", now: now)
    endPrevious(slot)
    endAttempt(slot)
    forgetCircuit(to: peerID, now: now)
    // Closing circuits may have let other neighbours go, and moved this one.
    guard let slot = neighbours.slot(peerID) else { return true }
    neighbours.entries[slot].candidates = []
    neighbours.entries[slot].paths = PathTable()
    neighbours.entries[slot].retryAt = nil
    neighbours.entries[slot].failures = 0
    if configuration.keepsPeersConnected { connect(slot, urgent: true, now: now) }
    return true
  }
}
