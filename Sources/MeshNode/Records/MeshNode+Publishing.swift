import Kademlia
import MeshCrypto
import MeshWire

/// Our record's way to the nodes nearest to our own PeerID, which hold it for those that look for it while no
/// backbone answers.
struct Publication {
  /// After a renewal, so that nodes that were started together don't all search at once.
  static let delay: Duration = .seconds(5)
  /// Until the next try, when there was nobody to give it to.
  static let retry: Duration = .seconds(60)

  /// `nil` when the newest record has been given out.
  var due: Instant?
}

extension MeshNode {
  /// A renewed record waits for its one search.
  mutating func planPublication(now: Instant) {
    let jitter = Duration.milliseconds(Int64(random.next() % 5_000))
    publication.due = now + Publication.delay + jitter
  }

  mutating func beginPublication(now: Instant) {
    publication.due = nil
    guard ownRecord != nil else { return }
    guard table.count > 0, begin(LookupID(number: takeNumber()), ownPeerID, .publish, now: now) else {
      publication.due = now + Publication.retry
      return
    }
  }

  /// The search for our own PeerID has ended: who answered nearest to it gets our record.
  ///
  /// Beside the k nearest, the last node of each walk gets it: liars can make up any number of keys beside
  /// our PeerID, and fill the k with them, but they end their own walks only.
  mutating func publish(to result: LookupResult, now: Instant) {
    guard let ownRecord else { return }
    if result.closest.isEmpty { publication.due = publication.due ?? now + Publication.retry }
    var told: Set<PeerID> = []
    for hint in result.closest + result.walkEnds where told.insert(hint.peerID).inserted {
      let slot = neighbours.slot(hint.peerID)
      // Session peers had it when it was signed.
      if let slot, neighbours.entries[slot].isPeer, neighbours.entries[slot].isConnected { continue }
      let record = ownRecord.admits(hint.keyHash) ? ownRecord : ownRecord.withoutPrivatePart
      counters.recordsPushed += 1
      reach(hint, with: .announce(.init(bundle: record.bundle)), now: now)
    }
  }

  /// A node that has just come into the routing table is named to others only once its record says that it is
  /// a public one, or whom it admits; so it is asked for the record.
  mutating func askForItsRecord(_ peerID: PeerID, now: Instant) {
    guard let slot = neighbours.slot(peerID), !neighbours.entries[slot].isPeer,
      records.lastKnown(peerID) == nil, let request = requests.add(.contactRecord, to: peerID, now: now)
    else { return }
    sendControl(.getRecord(request, target: peerID), slot: slot, now: now)
  }

  /// The answer to ``askForItsRecord(_:now:)``: its own record, and no other.
  mutating func takeContactRecord(_ record: ControlMessage.UnparsedRecord, from slot: Int) {
    guard jobs.count < NodeLimits.recordChecks else { return counters.count(.controlOverBudget) }
    do {
      let unverified = try UnverifiedPeerRecord(bundle: record.bundle)
      guard unverified.claimedKeyHash == neighbours.entries[slot].keyHash else {
        return counters.count(.controlMalformed)
      }
      compute(.verifyRecord(unverified, at: wall), for: .record(.contact))
    } catch { counters.count(.controlMalformed) }
  }

  // MARK: Holding the records of others

  /// How often a node that is no peer may have a record of its own checked.
  static let announcementInterval: Duration = .seconds(15)

  mutating func takeAnnouncement(_ record: ControlMessage.UnparsedRecord, slot: Int, now: Instant) {
    let neighbour = neighbours.entries[slot]
    let peerID = neighbour.peerID
    guard !neighbour.isVerifyingAnnouncement, jobs.count < NodeLimits.recordChecks else {
      return counters.count(.controlOverBudget)
    }
    do {
      let unverified = try UnverifiedPeerRecord(bundle: record.bundle)
      guard unverified.claimedKeyHash == neighbour.keyHash else { return counters.count(.controlMalformed) }
      if records.record(peerID)?.bundle == record.bundle { return }
      if !neighbour.isPeer {
        if let next = neighbour.nextAnnouncementAt, now < next { return counters.count(.controlOverBudget) }
        neighbours.entries[slot].nextAnnouncementAt = now + Self.announcementInterval
        guard records.hasRoom(for: peerID, guest(slot)) else { return counters.count(.tableFull) }
      }
      neighbours.entries[slot].isVerifyingAnnouncement = true
      compute(.verifyRecord(unverified, at: wall), for: .record(.announced(by: peerID)))
    } catch { counters.count(.controlMalformed) }
  }

  /// On whose account a record of no peer is held.
  func guest(_ slot: Int) -> RecordCache.Guest {
    let address = neighbours.entries[slot].current?.endpoint.address
    let isExempt = configuration.permitsLoopback && (address?.isLoopback ?? false)
    return RecordCache.Guest(own: ownPeerID, prefix: isExempt ? nil : address?.limitPrefix, wall: wall)
  }

  /// Keeps a record that its owner has announced. Whoever is no peer leaves no more of it with us than anyone
  /// may know, or what it admits us to.
  mutating func storeAnnounced(_ record: PeerRecord, by peerID: PeerID, now: Instant) throws(RecordRefusal) {
    guard let slot = neighbours.slot(peerID) else { return counters.count(.noSession) }
    if neighbours.entries[slot].isPeer { return try store(record, now: now) }
    let admitsUs = record.admits(own.keyHash)
    if !admitsUs { counters.privatePartsDropped += 1 }
    let kept = admitsUs ? record : record.withoutPrivatePart
    let guest = guest(slot)
    guard records.hasRoom(for: peerID, guest) else { return counters.count(.tableFull) }
    try store(kept, for: guest, now: now)
  }
}
