import MeshCrypto
import MeshWire
import Testing

@testable import MeshNode

@Suite("Records of others")
struct RecordCacheTests {
  private let wall = WallTime(secondsSinceEpoch: 1_800_000_000)

  private func record(
    of identity: IdentityKey, sequence: UInt64 = 1, kind: RecordBody.Kind = .record, life: Int64 = 60
  ) throws -> PeerRecord {
    let body = RecordBody(
      kind: kind, serviceType: .lightPrivate, keyHash: identity.keyHash, sequence: SequenceNumber(sequence),
      expiry: wall + .seconds(life), region: try #require(Region("europe")))
    return try PeerRecord.sign(body, privatePart: nil, with: identity)
  }

  @Test("an expired record is of no use but for where its owner was, and a withdrawn one not even for that")
  func uses() throws {
    var cache = RecordCache()
    let identity = try IdentityKey()
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
    let identity = try IdentityKey()
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
      let identity = try IdentityKey()
      all.append(identity.keyHash.peerID)
      _ = try cache.store(try record(of: identity, life: 60 + Int64(number)), keeping: [])
    }
    let another = try record(of: try IdentityKey())
    let isStored = try cache.store(another, keeping: [all[0]])
    #expect(isStored && cache.count == NodeLimits.records)
    #expect(cache.record(all[0]) != nil && cache.record(all[1]) == nil)
    let third = try record(of: try IdentityKey())
    let isStoredToo = try cache.store(third, keeping: Set(cache.all.map(\.peerID)))
    #expect(!isStoredToo && cache.record(third.peerID) == nil)
  }
}
