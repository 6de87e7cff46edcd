import MeshCrypto
import MeshWire

/// Verified records of others, one for each PeerID, the newest that was seen.
struct RecordCache {
  private var records: [PeerID: PeerRecord] = [:]

  var count: Int { records.count }

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

  /// Takes a record in if it is newer than the known one, or the same one with the private part that was
  /// lacking. When the cache is full, the one that expires first gives way, but none of `kept`.
  /// Returns whether anything has changed.
  mutating func store(_ record: PeerRecord, keeping kept: Set<PeerID>) throws(RecordRefusal) -> Bool {
    if let known = records[record.peerID] {
      try record.checkSupersedes(known)
      if record.body.sequence == known.body.sequence, record.privatePart == nil || known.privatePart != nil {
        return false
      }
    } else if records.count >= NodeLimits.records {
      let oldest = records.values.filter { !kept.contains($0.peerID) }
        .min { ($0.body.expiry, $0.peerID) < ($1.body.expiry, $1.peerID) }
      guard let oldest else { return false }
      records[oldest.peerID] = nil
    }
    records[record.peerID] = record
    return true
  }
}

/// Why a record is being verified.
enum RecordPurpose {
  case lookup(LookupID, LookupSource)
  case announced(by: PeerID)
  case restored
}
