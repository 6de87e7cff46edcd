import Foundation
import MeshCrypto
import MeshWire
import Testing

@testable import Backbone

@Suite("SQLite store") struct SQLiteStoreTests {
  let now = Fixture.now

  private func withStore(
    _ bounds: SQLiteStore.Bounds = SQLiteStore.Bounds(), _ body: (SQLiteStore) async throws -> Void
  ) async throws {
    try await Fixture.withDirectory { directory in
      try await body(try SQLiteStore(file: directory + "/registry.sqlite", bounds: bounds))
    }
  }

  @Test func `a challenge is redeemed once, also when sixteen try at the same time`() async throws {
    try await withStore { store in
      let challenge = [UInt8](repeating: 1, count: 16)
      let expiry = now + .seconds(60)
      let redeemed = try await withThrowingTaskGroup(of: Redemption.self) { tasks in
        for _ in 0..<16 {
          tasks.addTask {
            try await store.redeem(challenge: challenge, expiry: expiry, invite: nil, now: now)
          }
        }
        return try await tasks.reduce(into: 0) { $0 += $1 == .redeemed ? 1 : 0 }
      }
      #expect(redeemed == 1)
      // Also when it has expired while a login that was judged in time still waits for its check.
      try await store.prune(now: expiry + .seconds(59))
      #expect(
        try await store.redeem(challenge: challenge, expiry: expiry, invite: nil, now: now) == .challengeUsed)
    }
  }

  @Test func `an invite admits one node, once, in time, and a failure uses nothing up`() async throws {
    try await withStore { store in
      let invite = try await Invite.create(expiry: now + .seconds(60), in: store)
      func redeem(_ challenge: UInt8, _ secret: String, at time: WallTime) async throws -> Redemption {
        try await store.redeem(
          challenge: Array(repeating: challenge, count: 16), expiry: time + .seconds(60),
          invite: InviteUse(secretHash: Invite.hash(of: secret), node: Fixture.alice.keyHash), now: time)
      }
      #expect(try await redeem(1, "wrong", at: now) == .inviteRefused)
      #expect(try await redeem(1, invite.secret, at: now + .seconds(60)) == .inviteRefused)
      #expect(try await store.wasAdmitted(Fixture.alice.keyHash) == false)
      #expect(try await redeem(1, invite.secret, at: now) == .redeemed)
      #expect(try await store.wasAdmitted(Fixture.alice.keyHash))
      #expect(try await redeem(2, invite.secret, at: now) == .inviteRefused)
    }
  }

  @Test func `a peer that is revoked needs another invite`() async throws {
    try await withStore { store in
      for (number, node) in [Fixture.alice.keyHash, Fixture.bob.keyHash].enumerated() {
        let invite = try await Invite.create(expiry: now + .seconds(60), in: store)
        let redeemed = try await store.redeem(
          challenge: [UInt8(number)], expiry: now + .seconds(60),
          invite: InviteUse(secretHash: Invite.hash(of: invite.secret), node: node), now: now)
        #expect(redeemed == .redeemed)
      }
      try await store.revoke(tokensOf: Fixture.alice.keyHash, before: now, until: now + .seconds(60))
      #expect(try await store.wasAdmitted(Fixture.alice.keyHash) == false)
      #expect(try await store.wasAdmitted(Fixture.bob.keyHash))
    }
  }

  @Test func `a record is replaced only if it still is the one that was seen`() async throws {
    try await withStore { store in
      let first = StoredRecord(try Fixture.record(of: Fixture.alice, admitted: [Fixture.bob.keyHash]))
      let second = StoredRecord(try Fixture.record(of: Fixture.alice, sequence: .max))
      #expect(try await store.put(first, replacing: nil) == .stored)
      #expect(try await store.put(second, replacing: nil) == .changed)
      #expect(try await store.record(of: first.keyHash.peerID) == first)
      #expect(try await store.put(second, replacing: first) == .stored)
      #expect(try await store.put(second, replacing: first) == .changed)
      #expect(try await store.record(of: first.keyHash.peerID) == second)
    }
  }

  @Test func `a record outlives its expiry until no older one can be valid`() async throws {
    try await withStore { store in
      let record = StoredRecord(try Fixture.record(of: Fixture.alice, kind: .tombstone))
      _ = try await store.put(record, replacing: nil)
      try await store.prune(now: record.expiry + .seconds(7_799))
      #expect(try await store.record(of: record.keyHash.peerID)?.sequence == record.sequence)
      try await store.prune(now: record.expiry + .seconds(7_800))
      #expect(try await store.record(of: record.keyHash.peerID) == nil)
    }
  }

  @Test func `an expired record loses its content at once, and only then`() async throws {
    try await withStore { store in
      let record = StoredRecord(try Fixture.record(of: Fixture.alice, admitted: [Fixture.bob.keyHash]))
      _ = try await store.put(record, replacing: nil)
      try await store.prune(now: record.expiry + .seconds(-1))
      #expect(try await store.record(of: record.keyHash.peerID) == record)
      try await store.prune(now: record.expiry)
      let left = try #require(try await store.record(of: record.keyHash.peerID))
      #expect(left.publicBundle.isEmpty && left.privatePart == nil)
      #expect(left.keyHash == record.keyHash && left.bodyDigest == record.bodyDigest)
      // One that was on its way when it expired is found too.
      let late = StoredRecord(try Fixture.record(of: Fixture.bob))
      _ = try await store.put(late, replacing: nil)
      try await store.prune(now: record.expiry + .seconds(5))
      #expect(try await store.record(of: late.keyHash.peerID)?.publicBundle == [])
      let next = StoredRecord(try Fixture.record(of: Fixture.alice, sequence: 2))
      #expect(try await store.put(next, replacing: left) == .stored)
      #expect(try await store.record(of: record.keyHash.peerID) == next)
    }
  }

  @Test func `one network can't fill the registry, and who is in may publish again`() async throws {
    var bounds = SQLiteStore.Bounds()
    bounds.recordsOfNetwork = 2
    try await withStore(bounds) { store in
      let crowded = IPAddress("192.0.2.0")
      let records = try [Fixture.alice, Fixture.bob, Fixture.carol].map {
        StoredRecord(try Fixture.record(of: $0))
      }
      for record in records.prefix(2) {
        #expect(try await store.put(record, replacing: nil, from: crowded) == .stored)
      }
      #expect(try await store.put(records[2], replacing: nil, from: crowded) == .networkFull)
      #expect(try await store.record(of: records[2].keyHash.peerID) == nil)
      let next = StoredRecord(try Fixture.record(of: Fixture.alice, sequence: 2))
      #expect(try await store.put(next, replacing: records[0], from: crowded) == .stored)
      // Elsewhere, and where networks aren't counted, there is room.
      #expect(try await store.put(records[2], replacing: nil, from: IPAddress("2001:db8::")) == .stored)
      let backbone = StoredRecord(try Fixture.record(of: Fixture.backboneKey))
      #expect(try await store.put(backbone, replacing: nil) == .stored)
    }
  }

  @Test func `pruning goes on until nothing that has expired is left`() async throws {
    var bounds = SQLiteStore.Bounds()
    bounds.pruningBatch = 2
    try await withStore(bounds) { store in
      for key in [Fixture.alice, Fixture.bob, Fixture.carol] {
        _ = try await store.put(StoredRecord(try Fixture.record(of: key)), replacing: nil)
        _ = try await store.redeem(
          challenge: key.keyHash.bytes, expiry: now + .seconds(60), invite: nil, now: now)
      }
      try await store.prune(now: now + .seconds(3_600))
      #expect(try await store.sizes()["redeemed"] == 0)
      #expect(try await store.record(of: Fixture.carol.keyHash.peerID)?.publicBundle == [])
    }
  }

  @Test func `a full table refuses, and has room again after pruning`() async throws {
    var bounds = SQLiteStore.Bounds()
    bounds.redeemed = 2
    try await withStore(bounds) { store in
      func redeem(_ number: UInt8) async throws -> Redemption {
        try await store.redeem(
          challenge: [number], expiry: now + .seconds(60), invite: nil, now: now)
      }
      #expect(try await redeem(1) == .redeemed)
      #expect(try await redeem(2) == .redeemed)
      await #expect(throws: StoreFailure.full(table: "redeemed", bound: 2)) { try await redeem(3) }
      try await store.prune(now: now + .seconds(120))
      #expect(try await redeem(3) == .redeemed)
    }
  }

  @Test func `what is stored is there after a restart`() async throws {
    try await Fixture.withDirectory { directory in
      let file = directory + "/registry.sqlite"
      let record = StoredRecord(try Fixture.record(of: Fixture.alice))
      _ = try await SQLiteStore(file: file).put(record, replacing: nil)
      try await SQLiteStore(file: file).revoke(token: "one", until: now)
      let reopened = try SQLiteStore(file: file)
      #expect(try await reopened.record(of: record.keyHash.peerID) == record)
      #expect(try await reopened.revocations().tokens == ["one"])
    }
  }

  @Test func `a damaged file is named, and left as it is`() async throws {
    try await Fixture.withDirectory { directory in
      let file = directory + "/registry.sqlite"
      let content = Data(repeating: 0x5a, count: 8_192)
      try content.write(to: URL(fileURLWithPath: file))
      #expect(throws: StoreFailure.damaged(file)) { try SQLiteStore(file: file) }
      #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == content)
    }
  }

  @Test func `a full disk refuses what is new, is noticed by upkeep, and loses nothing`() async throws {
    try await Fixture.withFullStore { store, file in
      let old = StoredRecord(try Fixture.record(of: Fixture.alice))
      let new = StoredRecord(try Fixture.record(of: Fixture.bob))
      await #expect(throws: StoreFailure.diskFull(file)) { try await store.put(new, replacing: nil) }
      await #expect(throws: StoreFailure.diskFull(file)) { try await store.prune(now: now) }
      #expect(try await store.record(of: old.keyHash.peerID)?.bodyDigest == old.bodyDigest)
      #expect(try await store.record(of: new.keyHash.peerID) == nil)
      // What expires makes room again.
      try await store.prune(now: old.expiry + .seconds(7_800))
      #expect(try await store.put(new, replacing: nil) == .stored)
    }
  }

  @Test(arguments: ["redeemed", "records"])
  func `a table that is full shows in the check`(table: String) async throws {
    var bounds = SQLiteStore.Bounds()
    if table == "redeemed" { bounds.redeemed = 0 } else { bounds.records = 0 }
    try await withStore(bounds) { store in
      await #expect(throws: StoreFailure.full(table: table, bound: 0)) { try await store.check() }
    }
    try await withStore { try await $0.check() }
  }
}
