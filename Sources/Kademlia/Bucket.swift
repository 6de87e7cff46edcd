import MeshWire

/// One k-bucket: contacts at distances 2^i ..< 2^(i+1) from this node, and those that wait for a place.
struct Bucket: Sendable {
  struct Entry: Sendable {
    var contact: Contact
    /// In a row, since it was last seen.
    var failures = 0
  }

  /// Least recently seen first. At most `Limits.bucketSize`.
  var entries: [Entry] = []
  /// The replacement cache, least recently seen first. At most `Limits.replacements`.
  var replacements: [Contact] = []
  /// When a look-up last went through this bucket's range.
  var lastLookup: Instant
  /// A ping of an entry that was the oldest, asked for and without a verdict yet.
  var ping: (peerID: PeerID, askedAt: Instant)?

  /// Adds an entry at its place in the order of last seen.
  mutating func place(_ entry: Entry) {
    let position = entries.firstIndex { $0.contact.lastSeen > entry.contact.lastSeen } ?? entries.endIndex
    entries.insert(entry, at: position)
  }

  /// `peerID` answered, failed or left: a ping of it has its verdict.
  mutating func pingEnded(_ peerID: PeerID) {
    if ping?.peerID == peerID { ping = nil }
  }

  func position(of peerID: PeerID) -> Int? {
    entries.firstIndex { $0.contact.peerID == peerID }
  }

  func replacementPosition(of peerID: PeerID) -> Int? {
    replacements.firstIndex { $0.peerID == peerID }
  }

  /// Entries whose address lies in `prefix`.
  func entryCount(inPrefix prefix: IPAddress) -> Int {
    entries.count { $0.contact.endpoint.address.limitPrefix == prefix }
  }

  /// Cached replacements whose address lies in `prefix`.
  func replacementCount(inPrefix prefix: IPAddress) -> Int {
    replacements.count { $0.endpoint.address.limitPrefix == prefix }
  }

  /// The entry that a nearer contact displaces: the one with most failures, of those the least recently seen.
  var weakest: Int? {
    var weakest: Int?
    for (position, entry) in entries.enumerated()
    where weakest.map({ entry.failures > entries[$0].failures }) ?? true {
      weakest = position
    }
    return weakest
  }
}
