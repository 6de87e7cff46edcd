internal import Kademlia
public import MeshCrypto
public import MeshWire

extension MeshNode {
  /// Records of a snapshot that are being verified at once; the rest waits.
  static let restoringAtOnce = 16

  /// Takes our own freshly signed record, to hand on, to announce to session peers, and a few seconds later
  /// to the nodes nearest to our own PeerID.
  public mutating func setOwnRecord(_ record: PeerRecord, now: Instant) {
    ownRecord = record
    planPublication(now: now)
    for slot in neighbours.entries.indices
    where neighbours.entries[slot].isPeer && neighbours.entries[slot].isConnected {
      sendControl(.announce(.init(bundle: record.bundle)), slot: slot, now: now)
    }
  }

  /// Takes our own record as one that has been given out: the simulator begins with nodes that have long run.
  package mutating func resumeOwnRecord(_ record: PeerRecord) { ownRecord = record }

  mutating func recordChecked(_ purpose: RecordPurpose, _ result: CryptoResult, _ now: Instant) {
    switch purpose {
    case .restored: restoreNext()
    case .announced(let peerID):
      if let slot = neighbours.slot(peerID) { neighbours.entries[slot].isVerifyingAnnouncement = false }
    case .lookup, .contact: break
    }
    switch result {
    case .record(let record):
      do throws(RecordRefusal) {
        if case .announced(let peerID) = purpose {
          return try storeAnnounced(record, by: peerID, now: now)
        }
        try store(record, now: now)
        if case .lookup(let id, let source) = purpose { lookupFound(id, record, source, now: now) }
      } catch { recordRefused(error, purpose, now) }
    case .recordRefused(let refusal): recordRefused(refusal, purpose, now)
    default:
      counters.recordsRefused += 1
      if case .lookup(let id, let source) = purpose { lookupAnswerUnusable(id, source, nil, now: now) }
    }
  }

  private mutating func recordRefused(_ refusal: RecordRefusal, _ purpose: RecordPurpose, _ now: Instant) {
    guard case .lookup(let id, let source) = purpose else {
      counters.recordsRefused += 1
      return
    }
    if source == .peers, refusal == .lowerSequence {
      // Whoever has kept it for a while has an older one, and has done nothing wrong.
      counters.recordsRefused += 1
    } else {
      noteRefused(refusal.plainly, for: id, from: source)
    }
    lookupAnswerUnusable(id, source, refusal, now: now)
  }

  /// What was handed to us as a node's record is not to be used: the owner is told who did so, and why.
  mutating func noteRefused(_ reason: String, for id: LookupID, from source: LookupSource) {
    counters.recordsRefused += 1
    guard let target = lookups.active[id]?.target else { return }
    let holder = source == .backbone ? "the backbone" : "a peer"
    let story = "a record of it that \(holder) has was refused: \(reason)"
    lookups.active[id]?.refused = story
    emit(.recordRefused(target, from: source, reason: reason))
    guard let slot = neighbours.slot(target), !neighbours.entries[slot].isConnected else { return }
    neighbours.entries[slot].trouble = story
  }

  /// Keeps a verified record, and pins the identity of a peer that was added by PeerID alone.
  mutating func store(
    _ record: PeerRecord, for guest: RecordCache.Guest? = nil, now: Instant
  ) throws(RecordRefusal) {
    guard record.keyHash != own.keyHash else { return }
    let peerID = record.peerID
    let slot = neighbours.slot(peerID)
    if let slot, let pinned = neighbours.entries[slot].pinned, pinned != record.keyHash {
      emit(.identityConflict(peerID, pinned: pinned, seen: record.keyHash))
      throw .otherOwner
    }
    // Without their records, the contacts of our table could not be named to others.
    let isNew = try records.store(
      record, for: guest, keeping: neighbours.peerIDs.union(table.contacts.map(\.peerID)))
    if let slot {
      if neighbours.entries[slot].keyHash != record.keyHash { endAttempt(slot) }
      let isNews = neighbours.entries[slot].pinned == nil
      neighbours.entries[slot].publicKey = record.publicKey
      neighbours.entries[slot].keyHash = record.keyHash
      neighbours.entries[slot].isProved = true
      if isNews, neighbours.entries[slot].isPeer { emit(.peerPinned(peerID, record.publicKey)) }
    }
    guard isNew else { return }
    noteRelay(record, now: now)
    emit(.recordLearned(record))
  }

  /// How long an expired record is still saved: it says where its owner was, and a wrong clock calls every
  /// record expired.
  static let keptAfterExpiry: Duration = .seconds(24 * 3_600)

  /// What is worth saving: verified records and the routing table.
  public func snapshot(now: Instant) -> NodeSnapshot {
    NodeSnapshot(
      records: records.all.filter { $0.body.expiry + Self.keptAfterExpiry > wall }.map(\.bundle),
      table: table.snapshot(now: now))
  }

  /// Takes a snapshot back, before peers are added. Records are verified again, off this thread; bad ones are
  /// dropped and counted, and so is a routing table that doesn't parse.
  public mutating func restore(_ snapshot: NodeSnapshot, now: Instant) {
    carryWall(to: now)
    if let restored = try? RoutingTable(
      snapshot: snapshot.table, own: ownPeerID, limits: table.limits, now: now)
    {
      table = restored
    } else if !snapshot.table.isEmpty {
      counters.recordsRefused += 1
    }
    restoring = Array(snapshot.records.prefix(NodeLimits.records).reversed())
    for _ in 0..<Self.restoringAtOnce { restoreNext() }
  }

  private mutating func restoreNext() {
    while let bundle = restoring.popLast() {
      guard let record = try? UnverifiedPeerRecord(bundle: bundle) else {
        counters.recordsRefused += 1
        continue
      }
      // Its time was judged when it came. It is judged again when it is used; a clock that is wrong as the
      // node starts must not cost it what it knew.
      return compute(.verifyRecord(record, at: record.plausibleTime(near: wall)), for: .record(.restored))
    }
  }
}
