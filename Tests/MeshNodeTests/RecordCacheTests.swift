import MeshCrypto
import MeshWire
import Testing

@testable import MeshNode

@Suite("Records of others")
struct RecordCacheTests {
  private let wall = WallTime(secondsSinceEpoch: 1_800_000_000)

  /// A key that nobody holds: what a cache keeps has been verified before.
  private func anyone() throws -> IdentityPublicKey {
    var generator = SystemRandomNumberGenerator()
    return try #require(
      IdentityPublicKey(
        (0..<IdentityPublicKey.size).map { _ in UInt8.random(in: 0...255, using: &generator) }))
  }

  private func record(
    of identity: IdentityPublicKey, sequence: UInt64 = 1, kind: RecordBody.Kind = .record, life: Int64 = 60
  ) throws -> PeerRecord {
    let body = RecordBody(
      kind: kind, serviceType: .lightPrivate, keyHash: identity.keyHash, sequence: SequenceNumber(sequence),
      expiry: wall + .seconds(life), region: try #require(Region("europe")))
    return try PeerRecord.sign(body, privatePart: nil, by: identity) { _ in
      [UInt8](repeating: 0, count: IdentityPublicKey.signatureSize)
    }
  }

  @Test("an expired record is of no use but for where its owner was, and a withdrawn one not even for that")
  func uses() throws {
    var cache = RecordCache()
    let identity = try anyone()
    let peerID = identity.keyHash.peerID
    let good = try record(of: identity)
    let isNew = try cache.store(good, keeping: [])
    #expect(isNew)
    #expect(cache.record(peerID, at: wall + .seconds(59)) == good)
    #expect(cache.record(peerID, at: wall + .seconds(60)) == nil)
    #expect(cache.lastKnown(peerID) == good && cache.record(peerID) == good)
    let withdrawn = try record(of: identity, sequence: 2, kind: .tombstone)
    let isNewer = try cache.store(withdrawn, keeping: [])
    #expect(isNewer)
    #expect(cache.record(peerID, at: wall) == nil && cache.lastKnown(peerID) == nil)
    #expect(cache.record(peerID) == withdrawn)
  }

  @Test("sequence: an older record takes no newer one's place")
  func sequence() throws {
    var cache = RecordCache()
    let identity = try anyone()
    let newer = try record(of: identity, sequence: 2)
    _ = try cache.store(newer, keeping: [])
    let older = try record(of: identity, sequence: 1)
    #expect(throws: RecordRefusal.lowerSequence) { try cache.store(older, keeping: []) }
    #expect(cache.record(identity.keyHash.peerID) == newer)
  }

  @Test("records are bounded: the one that expires first gives way, but none of a peer")
  func bounded() throws {
    var cache = RecordCache()
    var all: [PeerID] = []
    for number in 0..<NodeLimits.records {
      let identity = try anyone()
      all.append(identity.keyHash.peerID)
      _ = try cache.store(try record(of: identity, life: 60 + Int64(number)), keeping: [])
    }
    let another = try record(of: try anyone())
    let isStored = try cache.store(another, keeping: [all[0]])
    #expect(isStored && cache.count == NodeLimits.records)
    #expect(cache.record(all[0]) != nil && cache.record(all[1]) == nil)
    let third = try record(of: try anyone())
    let everyone = Set(cache.all.map(\.peerID))
    let isStoredToo = try cache.store(third, keeping: everyone)
    #expect(!isStoredToo && cache.record(third.peerID) == nil)
  }

  /// A cache with as many guests as may be, each of a network of its own.
  private func full(_ own: PeerID, prefix: (Int) -> IPAddress? = { _ in nil }) throws -> (
    RecordCache, [PeerID]
  ) {
    var cache = RecordCache()
    var all: [PeerID] = []
    for number in 0..<NodeLimits.guestRecords {
      let identity = try anyone()
      let guest = RecordCache.Guest(own: own, prefix: prefix(number), wall: wall)
      guard cache.hasRoom(for: identity.keyHash.peerID, guest) else { continue }
      _ = try cache.store(try record(of: identity, life: 60 + Int64(number)), for: guest, keeping: [])
      all.append(identity.keyHash.peerID)
    }
    return (cache, all.sorted { $0.distance(to: own) < $1.distance(to: own) })
  }

  @Test("flood: records of guests are bounded, and the nearest to us are kept")
  func guests() throws {
    let own = try anyone().keyHash.peerID
    var (cache, all) = try full(own)
    let guest = RecordCache.Guest(own: own, prefix: nil, wall: wall)
    var another = try anyone()
    while all[250].distance(to: own) < another.keyHash.peerID.distance(to: own) {
      another = try anyone()
    }
    let record = try record(of: another)
    #expect(cache.hasRoom(for: record.peerID, guest))
    _ = try cache.store(record, for: guest, keeping: [])
    #expect(cache.guestCount == NodeLimits.guestRecords)
    #expect(cache.record(all[255]) == nil && cache.record(record.peerID) != nil)
    #expect(!cache.hasRoom(for: all[255], guest), "farther than all")
    let later = RecordCache.Guest(own: own, prefix: nil, wall: wall + .seconds(1_000))
    #expect(cache.hasRoom(for: all[255], later), "all others have expired")
  }

  @Test("flood: of one network, few guests' records are held")
  func guestsOfOnePrefix() throws {
    let (cache, all) = try full(try anyone().keyHash.peerID) { _ in .v4(0xc633_6400) }
    #expect(all.count == NodeLimits.guestsPerPrefix && cache.guestCount == NodeLimits.guestsPerPrefix)
  }

  @Test("flood: what we looked up ourselves gives way before what we hold for guests")
  func guestsAndOthers() throws {
    let own = try anyone().keyHash.peerID
    var (cache, all) = try full(own)
    let ours = try (0..<NodeLimits.records - NodeLimits.guestRecords).map { _ in
      try record(of: try anyone(), life: 5_000)
    }
    for record in ours { _ = try cache.store(record, keeping: []) }
    _ = try cache.store(try record(of: try anyone()), keeping: [])
    #expect(all.allSatisfy { cache.record($0) != nil } && cache.count == NodeLimits.records)
    #expect(ours.count { cache.record($0.peerID) == nil } == 1)
  }
}
