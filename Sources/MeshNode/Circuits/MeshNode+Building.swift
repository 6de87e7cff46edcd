public import MeshCrypto
import MeshPaths
import MeshRelay
import MeshSession
public import MeshWire

extension MeshNode {
  /// Relays that may be chosen, from their records: verified, and newer than what was given before.
  public mutating func setRelays(_ records: [PeerRecord], now: Instant) {
    carryWall(to: now)
    let profiles = records.compactMap { $0.relayProfile(at: wall, mayDial: mayDial) }
      .filter { $0.keyHash != own.keyHash }
    relays.selection.set(profiles)
    for record in records { try? store(record, now: now) }
    probeRelays(profiles, now: now)
    let isWaiting = relays.probes.waiting(now: now) > 0
    relays.nextReservationLook = isWaiting ? now + RelayProbes.head : now
    // The list may leave it out for ever, and its record holds for a while only.
    if let entry = relays.selection.entry, self.records.record(entry.peerID, at: wall) == nil {
      lookUpRecord(of: entry.peerID, now: now)
    }
    for peer in relays.wanted.keys { relays.wanted[peer]?.next = now }
  }

  /// The relay that longer chains began at before a restart.
  public mutating func setEntryRelay(_ relay: KeyHash) {
    guard relay != own.keyHash else { return }
    relays.selection.setEntry(relay)
    relays.announcedEntry = relay
  }

  /// A public record that was learned may be a relay's, or say at which relays a peer is reached.
  mutating func noteRelay(_ record: PeerRecord, now: Instant) {
    if let profile = record.relayProfile(at: wall, mayDial: mayDial), profile.keyHash != own.keyHash {
      relays.selection.add(profile)
      if relays.nextReservationLook == nil { relays.nextReservationLook = now }
      for peer in relays.wanted.keys where relays.wanted[peer]?.failures ?? 0 < 4 {
        relays.wanted[peer]?.hurry(now: now)
      }
    } else {
      relays.wanted[record.peerID]?.hurry(now: now)
    }
  }

  /// Wants a way to a peer through relays, as many as its owner wishes.
  mutating func wantRelay(_ slot: Int, now: Instant) {
    let neighbour = neighbours.entries[slot]
    wantCircuit(
      to: neighbour.peerID, hops: neighbour.entry?.relayHops ?? configuration.relayHops, now: now)
  }

  /// The path in use is silent: if that is a circuit, another one, through other relays where there are any.
  /// The peer may have built the silent one, and then nobody here knows all of its relays: one of our own
  /// that stands may lead through the same, and is not relied on either.
  mutating func wantAnotherRelay(_ slot: Int, now: Instant) {
    let neighbour = neighbours.entries[slot]
    let peer = neighbour.peerID
    if neighbour.paths.isInDoubt, case .circuit(let silent) = neighbour.current?.endpoint.carrier {
      doubtSize(toward: silent, now: now)
      chainFailed(silent, circuits.path(of: silent), carried: circuits.carried(by: silent), now: now)
      if let own = relays.wanted[peer]?.circuit {
        // If it stands after all, a check of it answers before this.
        doubt(own, to: peer, next: own == silent ? now : now + RelayBook.hurriedRetry, now: now)
      }
    }
    wantRelay(slot, now: now)
    askEntry(now: now)
  }

  /// Cells are all of one size, and larger than what every path carries: it may be our own link that has
  /// begun to lose them, and lets through all else that goes to the relay.
  private mutating func doubtSize(toward circuit: CircuitNumber, now: Instant) {
    guard let entry = circuits.entry(of: circuit), let slot = neighbours.slot(entry),
      neighbours.entries[slot].current != nil
    else { return }
    // What other sessions want waits for those who asked them.
    let others = sessionActions
    sessionActions = []
    neighbours.entries[slot].current!.session.sizeDoubted(now: now, into: &sessionActions)
    performSessionActions(slot, current: true, now)
    sessionActions = others
  }

  /// Whatever leads elsewhere is to take the place of a circuit.
  private mutating func doubt(_ circuit: CircuitNumber, to peer: PeerID, next: Instant, now: Instant) {
    let before = relays.wanted[peer]?.doubted
    relays.wanted[peer]?.circuit = nil
    relays.wanted[peer]?.doubted = circuit
    relays.wanted[peer]?.mustTell = false
    relays.wanted[peer]?.next = next
    if let before { circuits.close(before, .closed, into: &circuitActions) }
    performCircuitActions(now)
  }

  /// A circuit that was built because the path in use is silent has carried no check either, in time for
  /// several: its relays let it stand, and one of them breaks the promise.
  private mutating func doubtUnproven(_ peer: PeerID, now: Instant) {
    guard let circuit = relays.wanted[peer]?.circuit, let end = relays.wanted[peer]?.proveBy, end <= now
    else { return }
    relays.wanted[peer]?.proveBy = nil
    guard isSilent(peer), let slot = neighbours.slot(peer),
      !neighbours.entries[slot].paths.hasProven(Endpoint(circuit))
    else { return }
    counters.circuitsUnproven += 1
    chainFailed(circuit, circuits.path(of: circuit), carried: .zero, now: now)
    doubt(circuit, to: peer, next: now, now: now)
  }

  /// Whether the path in use to a peer is in doubt.
  private func isSilent(_ peer: PeerID) -> Bool {
    neighbours.slot(peer).map { neighbours.entries[$0].paths.isInDoubt } ?? false
  }

  /// Whether the relay that chains begin at is there shows before the second attempt.
  private mutating func askEntry(now: Instant) {
    guard let entry = relays.selection.entry, let slot = neighbours.slot(entry.peerID),
      neighbours.entries[slot].isConnected
    else { return }
    neighbours.entries[slot].paths.doubted(now: now)
    advancePaths(slot, now: now)
  }

  /// Wants a circuit to a peer, and builds one through the relays at which it has said to be reached. Calling
  /// it again while there is one changes nothing; a want that nobody repeats ends after two minutes, and the
  /// circuit stays for as long as it stands. It is begun at the next turn.
  mutating func wantCircuit(to peer: PeerID, hops: Int, now: Instant) {
    let hops = min(max(hops, 1), CellLayout.longestChain)
    if relays.wanted[peer] == nil {
      guard relays.wanted.count < RelayBook.wants else { return counters.count(.tableFull) }
      relays.wanted[peer] = RelayBook.Wanted(hops: hops, until: now, next: now)
    }
    relays.wanted[peer]?.hops = hops
    relays.wanted[peer]?.until = now + RelayBook.wantLife
    guard let circuit = relays.wanted[peer]?.circuit, let slot = neighbours.slot(peer) else { return }
    let endpoint = Endpoint(circuit)
    let isKnown =
      neighbours.entries[slot].candidates.contains { $0.endpoint == endpoint }
      && (neighbours.entries[slot].current == nil || neighbours.entries[slot].paths.knows(endpoint))
    if !isKnown, circuits.isStanding(circuit) { relays.wanted[peer]?.mustTell = true }
  }

  /// Nothing is wanted of a peer any more, or all of it anew: its circuit is closed.
  mutating func forgetCircuit(to peer: PeerID, now: Instant) {
    guard let wanted = relays.wanted.removeValue(forKey: peer) else { return }
    for circuit in wanted.circuits {
      circuits.close(circuit, .closed, into: &circuitActions)
    }
    performCircuitActions(now)
  }

  /// Begins a circuit to a peer that has none, when the time has come. While none of those that were begun
  /// stands, others are tried beside them: one relay that is gone holds a whole chain up until its time is
  /// over.
  private mutating func buildIfDue(_ peer: PeerID, now: Instant) {
    guard let wanted = relays.wanted[peer], wanted.circuit == nil, wanted.next <= now else { return }
    let isHurried = isSilent(peer)
    if let doubted = wanted.doubted, !isHurried, isInUse(doubted, to: peer) {
      relays.wanted[peer]?.circuit = doubted
      relays.wanted[peer]?.doubted = nil
      return
    }
    let beyond = wanted.failures + 1 - RelayBook.attempts
    let wait =
      beyond >= 0
      ? min(RelayBook.firstRetry * (1 << min(beyond, 8)), RelayBook.longestRetry)
      : isHurried ? RelayBook.hurriedRetry : RelayBook.firstRetry
    relays.wanted[peer]?.next = now + wait
    relays.wanted[peer]?.failures += 1
    let entry = relays.selection.entry
    let isSilent = entry.flatMap { neighbours.slot($0.peerID) }.map { slot in
      !neighbours.entries[slot].isConnected || neighbours.entries[slot].paths.isAsked
    }
    let trying = TriedRelays(
      wanted.attempts.map { circuits.path(of: $0) }, doubted: isSilent ?? true ? entry : nil)
    guard let (chain, reservation) = chain(to: peer, hops: wanted.hops, trying: trying, now: now) else {
      return
    }
    announceEntry()
    let begun = circuits.begin(
      chain.map(\.hop), reservation: reservation, now: now, into: &circuitActions)
    if let begun { relays.wanted[peer]?.attempts.append(begun) }
    if wanted.attempts.count == RelayBook.attempts {
      // The later ones have more time, because the wait doubles.
      circuits.close(wanted.attempts[0], .timedOut, into: &circuitActions)
    }
    performCircuitActions(now)
  }

  private func isInUse(_ circuit: CircuitNumber, to peer: PeerID) -> Bool {
    neighbours.slot(peer).map { neighbours.entries[$0].current?.endpoint == Endpoint(circuit) } ?? false
  }

  /// Whether there is a session with a relay, which has not been found silent.
  private func answers(_ relay: KeyHash) -> Bool {
    neighbours.slot(relay.peerID).map { slot in
      neighbours.entries[slot].isConnected && !neighbours.entries[slot].paths.isInDoubt
    } ?? false
  }

  /// Relays to a place where a peer is reached; `nil` when none is known, or not enough relays.
  private mutating func chain(
    to peer: PeerID, hops: Int, trying: TriedRelays, now: Instant
  ) -> (relays: [RelayProfile], reservation: [UInt8])? {
    let places = records.record(peer, at: wall)?.reservations.filter { $0.relay != own.keyHash } ?? []
    // Where nobody knows of any relay, a record won't name one.
    guard !places.isEmpty || relays.selection.count > 0 else { return nil }
    if places.isEmpty { lookUpRecord(of: peer, now: now) }
    relays.selection.needsStreams = streams.isUDPBlocked == true
    let order = relays.selection.order(
      places.map(\.relay), asNeighbours: hops == 1, trying: trying, now: now)
    for relay in order {
      guard let place = places.first(where: { $0.relay == relay }) else { continue }
      guard let last = relayProfile(of: relay) else {
        // The place is known, the relay's key is not.
        lookUpRecord(of: relay.peerID, now: now)
        continue
      }
      let chain = relays.selection.chain(
        to: last, hops: hops, avoiding: own.keyHash, trying: trying, now: now, random: random.next())
      if let chain { return (chain, place.id) }
      relaysRunShort(now: now)
    }
    return nil
  }

  /// Leaves room for the look-ups that somebody waits for.
  private mutating func lookUpRecord(of peerID: PeerID, now: Instant) {
    let isUnderWay = lookups.active.values.contains { $0.target == peerID && $0.purpose.wantsRecord }
    guard !isUnderWay, lookups.active.count < NodeLimits.lookups / 2 else { return }
    _ = begin(LookupID(number: takeNumber()), peerID, .asked, now: now)
  }

  private func relayProfile(of relay: KeyHash) -> RelayProfile? {
    if let known = relays.selection.profile(relay) { return known }
    guard let record = records.record(relay.peerID, at: wall), record.keyHash == relay else { return nil }
    return record.relayProfile(at: wall, mayDial: mayDial)
  }

  private mutating func announceEntry() {
    guard relays.selection.entry != relays.announcedEntry else { return }
    relays.announcedEntry = relays.selection.entry
    emit(.entryRelayChanged(relays.selection.entry))
  }

  mutating func circuitComputed(_ circuit: CircuitNumber, _ hop: Int, _ result: CryptoResult, _ now: Instant)
  {
    let number = UInt32(truncatingIfNeeded: random.next())
    circuits.computed(
      circuit, hop: hop, result, random: number, now: now, wall: wall, into: &circuitActions)
    performCircuitActions(now)
  }

  /// A circuit of ours stands: its peer can be reached through it. Others that were begun are let go.
  mutating func stood(_ circuit: CircuitNumber, hops: Int, took: Duration, now: Instant) {
    for relay in circuits.path(of: circuit) { relays.selection.keptPromise(relay) }
    guard let peer = owner(of: circuit), var wanted = relays.wanted[peer] else { return }
    let others = wanted.circuits.filter { $0 != circuit && !isInUse($0, to: peer) }
    wanted.circuit = circuit
    wanted.doubted = wanted.doubted.flatMap { others.contains($0) ? nil : $0 }
    wanted.attempts = []
    wanted.failures = 0
    let proof = min(max(took * 2, RelayBook.shortestProof), RelayBook.longestProof)
    wanted.proveBy = isSilent(peer) ? now + proof : nil
    relays.wanted[peer] = wanted
    for other in others { circuits.close(other, .closed, into: &circuitActions) }
    counters.circuitsBuilt += 1
    emit(.circuitOpened(peer, hops: hops, took: took))
    circuitReady(circuit, to: peer, hops: hops, now: now)
  }

  /// The peer that a circuit of ours stands for, or is being built for.
  private func owner(of circuit: CircuitNumber) -> PeerID? {
    relays.wanted.keys.sorted().first { peer in
      relays.wanted[peer].map { $0.circuits.contains(circuit) } ?? false
    }
  }

  /// A circuit that ended here is there no more, or never was.
  mutating func ended(
    _ circuit: CircuitNumber, _ end: CircuitEnd, path: [KeyHash], carried: Duration, now: Instant
  ) {
    if end.breaksPromise { chainFailed(circuit, path, carried: carried, now: now) }
    if let owner = owner(of: circuit) {
      if relays.wanted[owner]?.circuit == circuit { relays.wanted[owner]?.circuit = nil }
      if relays.wanted[owner]?.doubted == circuit { relays.wanted[owner]?.doubted = nil }
      relays.wanted[owner]?.attempts.removeAll { $0 == circuit }
      relays.wanted[owner]?.mustTell = false
      // It has places elsewhere by now, or will have.
      if end == .noReservation { lookUpRecord(of: owner, now: now) }
      // One of them began anew; which, it doesn't say.
      if end == .unknownKey { for relay in path { lookUpRecord(of: relay.peerID, now: now) } }
      counters.circuitsLost += 1
      emit(.circuitEnded(owner, reason: end.description))
    }
    circuitLost(circuit, reason: end, now: now)
  }

  /// Counts the failure against who may have caused it. When that is the entry, though it answers, chains
  /// begin elsewhere at once.
  private mutating func chainFailed(
    _ circuit: CircuitNumber, _ path: [KeyHash], carried: Duration, now: Instant
  ) {
    let isSuspected = relays.selection.chainFailed(
      circuit, through: path, entryAnswers: path.first.map { answers($0) } ?? false, carried: carried,
      now: now)
    guard isSuspected else { return }
    counters.entriesSuspected += 1
    for peer in relays.wanted.keys where relays.wanted[peer]?.circuit == nil {
      relays.wanted[peer]?.next = now
    }
  }

  mutating func circuitReady(_ circuit: CircuitNumber, to peer: PeerID, hops: Int, now: Instant) {
    pathFound(Endpoint(circuit), to: peer, origin: .circuit, now: now)
  }

  mutating func circuitLost(_ circuit: CircuitNumber, reason: CircuitEnd, now: Instant) {
    let endpoint = Endpoint(circuit)
    let users = neighbours.entries.filter { neighbour in
      neighbour.current?.endpoint == endpoint || neighbour.candidates.contains { $0.endpoint == endpoint }
        || neighbour.paths.knows(endpoint)
    }
    for peer in users.map(\.peerID) { pathLost(endpoint, to: peer, now: now) }
  }

  mutating func advanceWants(to now: Instant) {
    for peer in relays.wanted.keys.sorted() {
      guard let wanted = relays.wanted[peer] else { continue }
      if wanted.mustTell, let circuit = wanted.circuit {
        relays.wanted[peer]?.mustTell = false
        circuitReady(circuit, to: peer, hops: hops(of: circuit), now: now)
      }
      if wanted.until <= now, wanted.circuit == nil {
        forgetCircuit(to: peer, now: now)
      } else if wanted.until <= now {
        // It stands for as long as it carries: its owner may come back to it.
        relays.wanted[peer]?.until = now + RelayBook.wantLife
      } else {
        doubtUnproven(peer, now: now)
        buildIfDue(peer, now: now)
      }
    }
  }
}

extension CircuitEnd {
  /// Whether a relay has failed that took the circuit, or was to take it.
  fileprivate var breaksPromise: Bool {
    switch self {
    case .idle, .exhausted, .closed, .loop, .replayed, .malformed: false
    case .noReservation, .unknownKey, .full, .unreachable, .timedOut, .broken, .notAdmitted, .silent: true
    }
  }
}

extension MeshNode {
  /// Every relay of the circuits that end here, for the simulator.
  package var circuitRelays: Set<KeyHash> { Set(circuits.all.flatMap { circuits.path(of: $0) }) }
}
