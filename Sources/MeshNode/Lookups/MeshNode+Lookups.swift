import Kademlia
import MeshCrypto
public import MeshWire

extension MeshNode {
  /// A session that a look-up began, and that nobody used for so long, may give way to another's.
  static let quietTime: Duration = .seconds(10)
  /// Nodes that must have answered near a place of a stale bucket: as many as its share of the table. Each
  /// may cost a handshake, each hour, for each bucket.
  static let refreshResults = 8

  /// Asks the cache, then the backbone, then the peers. Ends in `.lookupFinished`.
  public mutating func lookUp(_ target: PeerID, now: Instant) -> LookupID {
    carryWall(to: now)
    let id = LookupID(number: takeNumber())
    if let record = target == ownPeerID ? ownRecord : records.record(target, at: wall) {
      counters.lookupsFromCache += 1
      emit(.lookupFinished(id, .found(record, from: .cache, took: .zero)))
    } else if !begin(id, target, .asked, now: now) {
      emit(.lookupFinished(id, .tooMany))
    }
    return id
  }

  /// Wants to know where a neighbour is.
  mutating func findEndpoints(_ slot: Int, now: Instant) {
    guard neighbours.entries[slot].lookup == nil else { return }
    let id = LookupID(number: takeNumber())
    neighbours.entries[slot].lookup = id
    if !begin(id, neighbours.entries[slot].peerID, .connect, now: now) {
      neighbours.entries[slot].lookup = nil
      neighbours.entries[slot].retryAt = now + Self.firstRetry
    }
  }

  /// Looks for a node near a random place of a stale bucket, so that the table stays spread out.
  mutating func refreshTable(now: Instant) {
    let seed = random.bytes(PeerID.size)
    guard let target = table.refreshDue(now: now, random: seed) else { return }
    table.lookedUp(target, now: now)
    guard table.count > 0 else { return }
    _ = begin(LookupID(number: takeNumber()), target, .refresh, now: now)
  }

  mutating func begin(
    _ id: LookupID, _ target: PeerID, _ purpose: LookupTable.Purpose, now: Instant
  ) -> Bool {
    guard lookups.active.count < NodeLimits.lookups else { return false }
    lookups.active[id] = LookupTable.Active(
      target: target, purpose: purpose, startedAt: now,
      stage: .backbone(until: now + LookupTable.backboneTimeout))
    if purpose.wantsRecord {
      emit(.askBackbone(id, target))
    } else {
      askPeers(id, now: now)
    }
    return true
  }

  /// The answer to `.askBackbone`.
  public mutating func backboneAnswered(_ id: LookupID, _ answer: BackboneAnswer, now: Instant) {
    carryWall(to: now)
    guard let lookup = lookups.active[id], case .backbone = lookup.stage else { return }
    switch answer {
    case .found(let record):
      guard record.claimedKeyHash.peerID == lookup.target else {
        noteRefused("it is another node's", for: id, from: .backbone)
        lookups.active[id]?.backboneTrouble = "it answered with the record of another node"
        return askPeers(id, now: now)
      }
      lookups.active[id]?.verifying += 1
      compute(.verifyRecord(record, at: wall), for: .record(.lookup(id, .backbone)))
    case .notFound: askPeers(id, now: now)
    case .unavailable(let why):
      lookups.active[id]?.backboneTrouble = why
      askPeers(id, now: now)
    }
  }

  mutating func askPeers(_ id: LookupID, now: Instant) {
    guard let lookup = lookups.active[id], case .backbone = lookup.stage else { return }
    var limits = DisjointLookup.Limits()
    limits.allowsLoopback = configuration.permitsLoopback
    if lookup.purpose == .refresh {
      // It looks for nothing that somebody would hide, and a few fresh contacts are enough.
      limits.paths = 1
      limits.results = Self.refreshResults
    } else {
      limits.paths = configuration.lookupPaths
    }
    let (seeds, companions) = searchStart(for: lookup, limits)
    lookups.active[id]?.stage = .peers(
      DisjointLookup(
        target: lookup.target, own: ownPeerID, seeds: seeds, companions: companions, limits: limits, now: now)
    )
    advance(id, now: now)
  }

  /// The nearest nodes that we know of begin the search. The others that we have sessions with are asked for
  /// the record too: one that the target admitted may hold what its neighbours may not.
  private func searchStart(
    for lookup: LookupTable.Active, _ limits: DisjointLookup.Limits
  ) -> (seeds: [ContactHint], companions: [ContactHint]) {
    var seeds = table.closest(to: lookup.target, count: limits.seeds).map(\.hint)
    let known = Set(seeds.map(\.peerID))
    for neighbour in neighbours.entries
    where neighbour.peerID != lookup.target && !known.contains(neighbour.peerID) {
      guard let keyHash = neighbour.keyHash, let live = neighbour.current else { continue }
      seeds.append(ContactHint(keyHash: keyHash, endpoint: live.endpoint, sequence: 0))
    }
    let sorted = seeds.map { (distance: $0.peerID.distance(to: lookup.target), hint: $0) }
      .sorted { $0.distance < $1.distance }.map(\.hint)
    let companions = lookup.purpose.wantsRecord ? Array(sorted.dropFirst(limits.seeds)) : []
    return (Array(sorted.prefix(limits.seeds)), companions)
  }

  /// Drives the part of a look-up that asks peers.
  mutating func advance(_ id: LookupID, now: Instant) {
    while let step = lookups.withLookup(id, { $0.next(now: now) }) {
      switch step {
      case .query(let hint): ask(hint, for: id, now: now)
      case .waiting: return
      case .finished(let result):
        guard let lookup = lookups.active[id], lookup.verifying == 0 else { return }
        if lookup.purpose == .publish {
          lookups.active[id] = nil
          return publish(to: result, now: now)
        }
        return finishEmpty(id, now: now)
      }
    }
  }

  private mutating func ask(_ hint: ContactHint, for id: LookupID, now: Instant) {
    guard let lookup = lookups.active[id] else { return }
    lookups.active[id]?.peersAsked += 1
    var messages: [ControlMessage] = []
    if lookup.purpose.wantsRecord {
      // The record first: a node that has it needs no further search.
      guard let request = requests.add(.getRecord(id), to: hint.peerID, now: now) else {
        return lookups.contactFailed(hint.peerID, now: now)
      }
      messages.append(.getRecord(request, target: lookup.target))
    }
    guard let request = requests.add(.findNode(id), to: hint.peerID, now: now) else {
      return lookups.contactFailed(hint.peerID, now: now)
    }
    reach(hint, with: messages + [.findNode(request, target: lookup.target)], now: now)
  }

  /// Says something to a node that may not be connected yet.
  mutating func reach(_ hint: ContactHint, with messages: ControlMessage..., now: Instant) {
    reach(hint, with: messages, now: now)
  }

  mutating func reach(_ hint: ContactHint, with messages: [ControlMessage], now: Instant) {
    let slot: Int
    if let known = neighbours.slot(hint.peerID) {
      if let pinned = neighbours.entries[known].pinned, pinned != hint.keyHash {
        return lookups.contactFailed(hint.peerID, now: now)
      }
      slot = known
      if neighbours.entries[known].keyHash == nil { neighbours.entries[known].keyHash = hint.keyHash }
    } else {
      guard mayDial(hint.endpoint), hasRoomToDial(now: now) else {
        counters.count(.tableFull)
        return lookups.contactFailed(hint.peerID, now: now)
      }
      slot = neighbours.add(Neighbour(peerID: hint.peerID, now: now))
      neighbours.entries[slot].keyHash = hint.keyHash
    }
    if !neighbours.entries[slot].isConnected { neighbours.entries[slot].addCandidate(hint.endpoint, .hint) }
    for message in messages { sendControl(message, slot: slot, now: now) }
    connect(slot, urgent: true, now: now)
  }

  /// Sessions that look-ups began stay for a while; when all places are taken, the one that has been quiet
  /// for longest gives way to the next look-up.
  mutating func hasRoomToDial(now: Instant) -> Bool {
    guard neighbours.controlCount >= NodeLimits.controlSessions else { return true }
    let quiet = neighbours.entries.indices.filter {
      let neighbour = neighbours.entries[$0]
      return !neighbour.isPeer && !neighbour.isBackbone && !neighbour.isKept && neighbour.inboundPrefix == nil
        && neighbour.attempt == nil
        && neighbour.lastUsed + Self.quietTime <= now
    }
    let quietest = quiet.min { neighbours.entries[$0].lastUsed < neighbours.entries[$1].lastUsed }
    guard let quietest else { return false }
    forget(quietest)
    return true
  }

  mutating func takeFetched(
    _ record: ControlMessage.UnparsedRecord, for id: LookupID, from peerID: PeerID
  ) {
    guard let lookup = lookups.active[id] else { return }
    do {
      let unverified = try UnverifiedPeerRecord(bundle: record.bundle)
      guard unverified.claimedKeyHash.peerID == lookup.target else {
        return counters.count(.controlMalformed)
      }
      guard jobs.count < NodeLimits.recordChecks else { return counters.count(.controlOverBudget) }
      lookups.active[id]?.verifying += 1
      if case .peers(let search) = lookup.stage { lookups.active[id]?.hops = search.hops(to: peerID) }
      compute(.verifyRecord(unverified, at: wall), for: .record(.lookup(id, .peers)))
    } catch { counters.count(.controlMalformed) }
  }

  mutating func lookupFound(_ id: LookupID, _ record: PeerRecord, _ source: LookupSource, now: Instant) {
    guard let lookup = lookups.active[id] else { return }
    if record.isTombstone { return lookupAnswerUnusable(id, source, nil, now: now) }
    // A node that hides where it is from whoever was asked may still tell us itself, or another that it
    // admitted.
    if lookup.purpose == .connect, record.endpoints.isEmpty {
      return lookupAnswerUnusable(id, source, nil, now: now)
    }
    lookups.active[id] = nil
    switch source {
    case .cache: counters.lookupsFromCache += 1
    case .backbone: counters.lookupsFromBackbone += 1
    case .peers:
      counters.lookupsFromPeers += 1
      counters.lookupHops += UInt64(lookup.hops ?? 1)
    }
    if lookup.purpose == .asked {
      emit(.lookupFinished(id, .found(record, from: source, took: now - lookup.startedAt)))
    }
    endConnectLookup(id, lookup, trouble: "its record names no endpoint that we may know", now: now)
  }

  /// What came can't be used: ask on.
  mutating func lookupAnswerUnusable(
    _ id: LookupID, _ source: LookupSource, _ refusal: RecordRefusal?, now: Instant
  ) {
    guard lookups.active[id] != nil else { return }
    lookups.active[id]?.verifying -= 1
    if let refusal { lookups.active[id]?.refusal = refusal }
    if source == .backbone { askPeers(id, now: now) } else { advance(id, now: now) }
  }

  private mutating func finishEmpty(_ id: LookupID, now: Instant) {
    guard let lookup = lookups.active.removeValue(forKey: id) else { return }
    if lookup.purpose.wantsRecord { counters.lookupsFailed += 1 }
    if lookup.purpose == .asked {
      let outcome: LookupOutcome =
        if let refusal = lookup.refusal {
          .refused(refusal)
        } else {
          .notFound(backbone: lookup.backboneTrouble, peersAsked: lookup.peersAsked)
        }
      emit(.lookupFinished(id, outcome))
    }
    endConnectLookup(id, lookup, trouble: lookup.emptyBecause, now: now)
  }

  /// A neighbour that waited for this look-up is dialled now, or waits for the next try.
  private mutating func endConnectLookup(
    _ id: LookupID, _ lookup: LookupTable.Active, trouble: String, now: Instant
  ) {
    guard let slot = neighbours.slot(lookup.target), neighbours.entries[slot].lookup == id else { return }
    neighbours.entries[slot].lookup = nil
    // It may have reached us meanwhile.
    guard neighbours.entries[slot].current == nil else { return }
    let record = records.lastKnown(lookup.target)
    if neighbours.entries[slot].keyHash != nil,
      !neighbours.entries[slot].candidates.isEmpty || record?.endpoints.contains(where: mayDial) ?? false
    {
      neighbours.entries[slot].retryAt = nil
      beginAttempt(slot, urgent: true, hasLookedUp: true, now: now)
    } else {
      noSession(slot, reason: trouble, now: now)
    }
  }

  /// A contact that a look-up waits for has answered our handshake; its questions went out with the queue.
  mutating func lookupContactConnected(_ slot: Int, now: Instant) {
    _ = table.seen(neighbours.entries[slot].peerID, now: now)
  }

  mutating func advanceLookups(to now: Instant) {
    for id in lookups.ids {
      switch lookups.active[id]?.stage {
      case .backbone(let until)? where until <= now && lookups.active[id]?.verifying == 0:
        lookups.active[id]?.backboneTrouble = "it did not answer in time"
        askPeers(id, now: now)
      case .peers?: advance(id, now: now)
      default: break
      }
    }
  }

  var lookupDeadline: Instant? {
    var earliest: Instant?
    for lookup in lookups.active.values {
      let deadline: Instant
      switch lookup.stage {
      case .backbone(let until):
        // The pool answers; there is nothing to wait for by the clock.
        guard lookup.verifying == 0 else { continue }
        deadline = until
      case .peers(let search):
        // One that is over waits for the pool alone.
        guard !search.isFinished || lookup.verifying == 0 else { continue }
        deadline = search.deadlineOfNext ?? Instant(nanoseconds: 0)
      case .busy: continue
      }
      earliest = min(earliest ?? deadline, deadline)
    }
    return earliest
  }
}
