import MeshCrypto
import MeshWire

/// Verified records of others, one for each PeerID, the newest that was seen.
struct RecordCache {
  /// Someone who is no peer and wants its record held for others.
  struct Guest {
    let own: PeerID
    /// Its network, by which guests are counted; `nil` when it isn't.
    let prefix: IPAddress?
    let wall: WallTime
  }

  private var records: [PeerID: PeerRecord] = [:]
  /// Which of them are held for guests, and their networks. At most `NodeLimits.guestRecords`.
  private var guests: [PeerID: IPAddress?] = [:]

  var count: Int { records.count }
  var guestCount: Int { guests.count }

  /// Whatever is known, good or expired: its key and its sequence still bind.
  func record(_ peerID: PeerID) -> PeerRecord? { records[peerID] }

  /// A record that may be used and handed on now.
  func record(_ peerID: PeerID, at wall: WallTime) -> PeerRecord? {
    guard let record = records[peerID], record.body.expiry > wall, !record.isTombstone else { return nil }
    return record
  }

  /// Where a node was last known to be: an expired record proves nothing, but a handshake needs no more than
  /// a place to try.
  func lastKnown(_ peerID: PeerID) -> PeerRecord? {
    records[peerID].flatMap { $0.isTombstone ? nil : $0 }
  }

  /// In the order of PeerIDs.
  var all: [PeerRecord] { records.keys.sorted().compactMap { records[$0] } }

  /// Whether a guest's record may be kept: its network has places left, and if guests have all of theirs, it
  /// is nearer to us than one of them, so that a record is held where it is looked for.
  func hasRoom(for peerID: PeerID, _ guest: Guest) -> Bool {
    if records[peerID] != nil { return true }
    if let prefix = guest.prefix, guests.values.count(where: { $0 == prefix }) >= NodeLimits.guestsPerPrefix {
      return false
    }
    guard guests.count >= NodeLimits.guestRecords, let last = lastGuest(guest) else { return true }
    return isExpired(last, guest) || peerID.distance(to: guest.own) < last.distance(to: guest.own)
  }

  private func isExpired(_ peerID: PeerID, _ guest: Guest) -> Bool {
    records[peerID].map { $0.body.expiry <= guest.wall } ?? true
  }

  /// Who gives way among guests: one that has expired, else the farthest.
  private func lastGuest(_ guest: Guest) -> PeerID? {
    guests.keys.max { a, b in
      let (first, second) = (isExpired(a, guest), isExpired(b, guest))
      guard first == second else { return second }
      return a.distance(to: guest.own) < b.distance(to: guest.own)
    }
  }

  /// Takes a record in if it is newer than the known one, or the same one with the private part that was
  /// lacking. When the cache is full, the one that expires first gives way, but none of `kept`, and one of a
  /// guest only when there is no other. For a `guest`, ask ``hasRoom(for:_:)`` first.
  /// Returns whether anything has changed.
  mutating func store(
    _ record: PeerRecord, for guest: Guest? = nil, keeping kept: @autoclosure () -> Set<PeerID>
  ) throws(RecordRefusal) -> Bool {
    if let known = records[record.peerID] {
      try record.checkSupersedes(known)
      if record.body.sequence == known.body.sequence, record.privatePart == nil || known.privatePart != nil {
        return false
      }
    } else {
      if let guest, guests.count >= NodeLimits.guestRecords, let last = lastGuest(guest) { remove(last) }
      if records.count >= NodeLimits.records {
        let kept = kept()
        let oldest = records.values.filter { !kept.contains($0.peerID) }.min { rank($0) < rank($1) }
        guard let oldest else { return false }
        remove(oldest.peerID)
      }
      if let guest { guests[record.peerID] = .some(guest.prefix) }
    }
    records[record.peerID] = record
    return true
  }

  private func rank(_ record: PeerRecord) -> (Int, WallTime, PeerID) {
    (guests[record.peerID] == nil ? 0 : 1, record.body.expiry, record.peerID)
  }

  private mutating func remove(_ peerID: PeerID) {
    records[peerID] = nil
    guests[peerID] = nil
  }
}

/// Why a record is being verified.
enum RecordPurpose {
  case lookup(LookupID, LookupSource)
  case announced(by: PeerID)
  /// A node of our routing table told us its own.
  case contact
  case restored
}
