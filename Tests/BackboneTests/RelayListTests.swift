import Foundation
import GRDB
import MeshCrypto
import MeshWire
import NIOHTTP1
import Testing

@testable import Backbone
@testable import BackboneAPI

@Suite("List of relays") struct RelayListTests {
  let now = Fixture.now

  /// Records need no good signature here: the store keeps what the registry has verified.
  private func stored(
    _ number: UInt16, region: Region = Fixture.region, expiry: WallTime? = nil, sequence: UInt64 = 1
  ) throws -> StoredRecord {
    let digits = withUnsafeBytes(of: number.bigEndian) { Array($0) }
    let keyHash = try #require(KeyHash(digits + [UInt8](repeating: 0, count: KeyHash.size - 2)))
    return StoredRecord(
      keyHash: keyHash, sequence: SequenceNumber(sequence), expiry: expiry ?? now + .seconds(3_600),
      isTombstone: false, bodyDigest: [1], publicBundle: [2], privatePart: nil, relayRegion: region)
  }

  private func withStores(_ body: (SQLiteStore) async throws -> Void) async throws {
    try await body(try SQLiteStore(inMemory: SQLiteStore.Bounds()))
    try await Fixture.withDirectory { try await body(try SQLiteStore(file: $0 + "/registry.sqlite")) }
  }

  @Test func `relays of the region come first, then others, each once and no more than asked for`()
    async throws
  {
    try await withStores { store in
      let asia = Fixture.region("asia")
      for number in UInt16(0)..<3 { _ = try await store.put(try stored(number), replacing: nil) }
      for number in UInt16(3)..<9 {
        _ = try await store.put(try stored(number, region: asia), replacing: nil)
      }
      for limit in [1, 3, 5, 9, 20] {
        let sample = try await store.relays(near: Fixture.region, limit: limit, now: now)
        #expect(sample.count == min(limit, 9))
        #expect(Set(sample.map(\.keyHash)).count == sample.count)
        #expect(sample.prefix(3).allSatisfy { $0.relayRegion == Fixture.region })
      }
      #expect(try await store.relays(near: Fixture.region("mars"), limit: 4, now: now).count == 4)
      #expect(try await store.relays(near: nil, limit: 4, now: now).count == 4)
    }
  }

  @Test func `every relay gets its turn`() async throws {
    let store = try SQLiteStore(inMemory: SQLiteStore.Bounds())
    for number in UInt16(0)..<20 { _ = try await store.put(try stored(number), replacing: nil) }
    var seen: Set<KeyHash> = []
    for _ in 0..<400 where seen.count < 20 {
      for relay in try await store.relays(near: Fixture.region, limit: 2, now: now) {
        seen.insert(relay.keyHash)
      }
    }
    #expect(seen.count == 20)
  }

  @Test func `what has expired, was withdrawn, or relays no more is not in it`() async throws {
    try await withStores { store in
      let first = StoredRecord(try Fixture.relay(Fixture.alice))
      #expect(first.relayRegion == Fixture.region)
      _ = try await store.put(first, replacing: nil)
      #expect(try await store.record(of: first.keyHash.peerID) == first)
      #expect(try await store.relays(near: nil, limit: 5, now: now) == [first])
      #expect(try await store.relays(near: nil, limit: 5, now: first.expiry).isEmpty)

      let withdrawn = StoredRecord(try Fixture.record(of: Fixture.alice, sequence: 2, kind: .tombstone))
      _ = try await store.put(withdrawn, replacing: first)
      #expect(try await store.relays(near: nil, limit: 5, now: now).isEmpty)

      let again = StoredRecord(try Fixture.relay(Fixture.alice, sequence: 3))
      _ = try await store.put(again, replacing: withdrawn)
      #expect(try await store.relays(near: nil, limit: 5, now: now) == [again])
      let quiet = StoredRecord(try Fixture.record(of: Fixture.alice, sequence: 4))
      _ = try await store.put(quiet, replacing: again)
      #expect(try await store.relays(near: nil, limit: 5, now: now).isEmpty)
    }
  }

  @Test func `a record from before the list keeps its place, and is no relay`() async throws {
    try await Fixture.withDirectory { directory in
      let file = directory + "/registry.sqlite"
      let record = try Fixture.relay(Fixture.alice)
      do {
        let old = try DatabaseQueue(path: file)
        try SQLiteSchema.migrator.migrate(old, upTo: "3 networks")
        let values: StatementArguments = [
          Data(record.peerID.bytes), Data(record.keyHash.bytes), 1, record.body.expiry.stored, false,
          Data(record.bodyDigest), Data(record.bundle), nil, nil,
        ]
        try await old.write {
          try $0.execute(
            sql: "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", arguments: values)
        }
        try old.close()
      }
      let store = try SQLiteStore(file: file)
      let found = try #require(try await store.record(of: record.peerID))
      #expect(found.bodyDigest == record.bodyDigest)
      #expect(try await store.relays(near: nil, limit: 5, now: now).isEmpty)
      let next = StoredRecord(try Fixture.relay(Fixture.alice, sequence: 2))
      #expect(try await store.put(next, replacing: found) == .stored)
      #expect(try await store.relays(near: nil, limit: 5, now: now) == [next])
    }
  }

  @Test func `a node gets others' whole public records, and verifies them`() async throws {
    try await withBackbone { backbone in
      let relay = try Fixture.relay(Fixture.bob)
      let token = try await backbone.token(of: Fixture.alice)
      for record in [relay, try Fixture.relay(Fixture.alice), try Fixture.record(of: Fixture.carol)] {
        _ = try await backbone.store.put(StoredRecord(record), replacing: nil)
      }
      try await backbone.withClient { client in
        let list = try await client.relays(near: Fixture.region, limit: 20, token: token)
        #expect(try list.map { try $0.verified(at: backbone.clock.now) } == [relay])
      }
      let metrics = String(decoding: try await backbone.send(.GET, "/metrics").body, as: UTF8.self)
      #expect(metrics.contains("shadowmesh_backbone_relays_listed_total 1\n"))
    }
  }

  @Test func `lists need a token, a good query, and a pause between them`() async throws {
    var limits = BackboneSettings.Limits()
    limits.relayListsPerMinute = 3
    try await withBackbone(limits: limits) { backbone in
      let path = Route.relays.rawValue
      #expect(try await backbone.send(.GET, path).problem?.kind == .tokenRefused)
      let good = [("authorization", "Bearer \(try await backbone.token(of: Fixture.alice))")]
      for query in [
        "limit=0", "limit=21", "limit=x", "limit=+1", "limit=1&limit=2", "region=", "region=A",
        "region=a&region=b", "x=1", "&", "limit=1&",
      ] {
        let answer = try await backbone.send(.GET, path + "?" + query, headers: good)
        #expect(answer.problem?.kind == .malformedRequest, "\(query)")
      }
      for query in ["", "?limit=20&region=europe", "?region=a-b_1"] {
        let answer = try await backbone.send(.GET, path + query, headers: good)
        #expect(answer.status == 200, "\(query)")
        #expect(String(decoding: answer.body, as: UTF8.self) == #"{"relays":[]}"#)
      }
      let more = try await backbone.send(.GET, path, headers: good)
      #expect(more.problem?.kind == .rateLimited)
      #expect(more.headers.first(name: "retry-after") == "20")
      let lookUp = "/api/peers/lookup?peer_id=\(Fixture.carol.keyHash.peerID)"
      #expect(try await backbone.send(.GET, lookUp, headers: good).status == 404)
    }
  }

  @Test func `the longest list fits into what a client reads, and one more entry is refused`() throws {
    let size = UnverifiedPeerRecord.sizeLimit - RecordPrivatePart.sizeLimit
    let largest = [UInt8](repeating: 0xff, count: size)
    let full = RelayList(relays: Array(repeating: largest, count: RelayList.maximumCount + 1))
    #expect(full.relays.count == RelayList.maximumCount)
    #expect(full.json.count <= MessageLimit.relays)
    let read = try JSONDecoder().decode(RelayList.self, from: Data(full.json))
    #expect(read == full)
    let entry = #"{"record":"AA=="}"#
    let tooLong = Array(repeating: entry, count: RelayList.maximumCount + 1).joined(separator: ",")
    #expect(throws: DecodingError.self) {
      try JSONDecoder().decode(RelayList.self, from: Data("{\"relays\":[\(tooLong)]}".utf8))
    }
  }

  @Test func `a sample costs a descent of an index, not a walk over the records`() async throws {
    try await Fixture.withDirectory { directory in
      let file = directory + "/registry.sqlite"
      _ = try SQLiteStore(file: file)
      let database = try DatabaseQueue(path: file)
      for region in [Fixture.region, nil] {
        let plan = try await database.read { db in
          try Row.fetchAll(
            db, sql: "EXPLAIN QUERY PLAN " + RelaySample.query(of: region, isBeforeStart: false),
            arguments: (region.map { [$0.name] } ?? []) + [1, 1, 1]
          ).map { $0["detail"] as String }
        }
        #expect(plan.count == 1, "nothing is sorted: \(plan)")
        #expect(plan[0].contains(region == nil ? "USING INDEX relays " : "USING INDEX relays_of_region"))
      }
    }
  }
}
