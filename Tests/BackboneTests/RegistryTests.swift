import BackboneAPI
import Foundation
import MeshCrypto
import MeshWire
import Observability
import Testing

@testable import Backbone

@Suite("Registry") struct RegistryTests {
  private func registry(
    _ store: SQLiteStore, _ clock: TestClock, admission: Admission = .open, keys: RegionKeys = RegionKeys(),
    work: WorkThreads = WorkThreads()
  ) async throws -> Registry {
    try await Registry(
      settings: Fixture.settings(admission: admission), identity: Fixture.backboneKey, keys: keys,
      store: store,
      metrics: BackboneMetrics(factory: PrometheusRegistry()), clock: clock.clock, work: work)
  }

  private func request(for challenge: ChallengeAnswer) throws -> VerifyRequest {
    let bytes = try #require([UInt8](hex: challenge.challenge))
    let statement = LoginStatement(
      audience: Fixture.origin, region: Fixture.region, backbone: Fixture.backboneKey.keyHash,
      challenge: bytes, node: Fixture.alice.keyHash)
    return VerifyRequest(
      peerID: Fixture.alice.keyHash.peerID, challenge: bytes,
      signature: try statement.signed(by: Fixture.alice), publicKey: Fixture.alice.publicKey.bytes,
      audience: nil, invite: nil)
  }

  @Test func `a revoked token, and a peer's tokens of before, stop counting`() async throws {
    let store = try SQLiteStore(inMemory: SQLiteStore.Bounds())
    let clock = TestClock()
    let registry = try await registry(store, clock)
    let answer = try await registry.logIn(try request(for: registry.challenge()))
    let token = try answer.decoded(VerifyAnswer.self).sessionToken
    let session = try await registry.session(authorization: "Bearer \(token)")
    #expect(session.peer == Fixture.alice.keyHash)
    #expect(try await registry.session(authorization: "bEARER \(token)") == session)
    for other in ["Digest \(token)", "Bearer\u{0}\(token)", "Bearer", "Bearer ", token, ""] {
      await #expect(throws: Refusal(.tokenRefused), "only as a Bearer token (RFC 6750)") {
        try await registry.session(authorization: other)
      }
    }
    let until = clock.now + .seconds(86_400)

    try await store.revoke(token: session.tokenID, until: until)
    try await registry.maintain()
    await #expect(throws: Refusal(.tokenRefused)) {
      try await registry.session(authorization: "Bearer \(token)")
    }

    let second = try await registry.logIn(try request(for: registry.challenge()))
    let secondToken = try second.decoded(VerifyAnswer.self).sessionToken
    _ = try await registry.session(authorization: "Bearer \(secondToken)")
    try await store.revoke(
      tokensOf: Fixture.alice.keyHash, before: clock.now + .seconds(1), until: until)
    try await registry.maintain()
    await #expect(throws: Refusal(.tokenRefused)) {
      try await registry.session(authorization: "Bearer \(secondToken)")
    }
    try await registry.shutdown()
  }

  @Test func `a token of a peer that the list no longer has stops counting`() async throws {
    let store = try SQLiteStore(inMemory: SQLiteStore.Bounds())
    let (clock, keys) = (TestClock(), RegionKeys())
    let (alice, bob) = (Fixture.alice.keyHash, Fixture.bob.keyHash)
    let before = try await registry(store, clock, admission: .list([alice, bob]), keys: keys)
    let answer = try await before.logIn(try request(for: before.challenge())).decoded(VerifyAnswer.self)
    let authorization = "Bearer \(answer.sessionToken)"
    #expect(try await before.session(authorization: authorization).peer == alice)
    let after = try await registry(store, clock, admission: .list([bob]), keys: keys)
    await #expect(throws: Refusal(.tokenRefused)) { try await after.session(authorization: authorization) }
    try await before.shutdown()
    try await after.shutdown()
  }

  @Test func `more signatures than may wait are turned away, with a time to come back`() async throws {
    let store = try SQLiteStore(inMemory: SQLiteStore.Bounds())
    let registry = try await registry(store, TestClock(), work: WorkThreads(limit: 0))
    let request = try request(for: registry.challenge())
    await #expect(throws: Refusal(.overloaded, retryAfter: 1)) { try await registry.logIn(request) }
    try await registry.shutdown()
  }

  @Test func `a record that wouldn't be stored costs no check of a signature`() async throws {
    let store = try SQLiteStore(inMemory: SQLiteStore.Bounds())
    let registry = try await registry(store, TestClock(), work: WorkThreads(limit: 0))
    let alice = Fixture.alice.keyHash
    func publish(_ sequence: UInt64, port: UInt16 = 8_443) async throws {
      let record = try Fixture.record(of: Fixture.alice, sequence: sequence, port: port)
      try await registry.publish(record.bundle, by: alice, from: nil)
    }
    _ = try await store.put(
      StoredRecord(try Fixture.record(of: Fixture.alice, sequence: 5)), replacing: nil)
    try await publish(5)
    await #expect(throws: Refusal(.sequenceTooLow)) { try await publish(4) }
    await #expect(throws: Refusal(.sequenceReused)) { try await publish(5, port: 1) }
    await #expect(throws: Refusal(.overloaded, retryAfter: 1)) { try await publish(6) }
    try await registry.shutdown()
  }

  @Test func `publications leave half of the places to logins`() async throws {
    let work = WorkThreads(limit: 2)
    let (started, start) = AsyncStream<Void>.makeStream()
    let (gate, open) = AsyncStream<Void>.makeStream()
    async let first: Void = work.run(for: .publication) {
      start.yield()
      for await _ in gate { break }
    }
    for await _ in started { break }
    await #expect(throws: Refusal(.overloaded, retryAfter: 1)) { try await work.run(for: .publication) {} }
    try await work.run(for: .login) {}
    open.yield()
    try await first
    try await work.run(for: .publication) {}
    try await work.shutdown()
  }

  @Test func `a store without room makes the backbone unready from the first failed write on`() async throws {
    try await Fixture.withFullStore { store, file in
      let registry = try await registry(store, TestClock())
      try await registry.checkReadiness()
      let record = try Fixture.record(of: Fixture.bob)
      await #expect(throws: StoreFailure.diskFull(file)) {
        try await registry.publish(record.bundle, by: record.keyHash, from: nil)
      }
      await #expect(throws: StoreFailure.diskFull(file)) { try await registry.checkReadiness() }
      try await registry.shutdown()
    }
  }

  @Test func `records that would be stored are limited to one a second and peer`() async throws {
    let store = try SQLiteStore(inMemory: SQLiteStore.Bounds())
    let clock = TestClock()
    let registry = try await registry(store, clock)
    func publish(_ sequence: UInt64, as key: IdentityKey = Fixture.alice) async throws {
      let record = try Fixture.record(of: key, sequence: sequence)
      try await registry.publish(record.bundle, by: key.keyHash, from: nil)
    }
    for sequence in 1...5 { try await publish(UInt64(sequence)) }
    await #expect(throws: Refusal(.rateLimited, retryAfter: 1)) { try await publish(6) }
    // What is stored already costs next to nothing, and others have their own second.
    try await publish(5)
    try await publish(1, as: Fixture.bob)
    clock.advance(by: 1)
    try await publish(6)
    try await registry.shutdown()
  }

  @Test(arguments: [
    ("192.0.2.9", "192.0.2.0"), ("2001:db8:7:100::1", "2001:db8:7::"), ("127.0.0.1", nil), ("::1", nil),
  ])
  func `records are counted by the network of a site`(address: String, network: String?) throws {
    #expect(try #require(IPAddress(address)).recordNetwork == network.flatMap { IPAddress($0) })
  }

  @Test(arguments: [(Admission.open, true), (.list([Fixture.alice.keyHash, Fixture.bob.keyHash]), false)])
  func `a full network is told if anybody may publish`(admission: Admission, isRefused: Bool) async throws {
    var bounds = SQLiteStore.Bounds()
    bounds.recordsOfNetwork = 1
    let store = try SQLiteStore(inMemory: bounds)
    let registry = try await registry(store, TestClock(), admission: admission)
    func publish(_ key: IdentityKey, from address: String) async throws -> Problem.Kind? {
      let record = try Fixture.record(of: key)
      do {
        try await registry.publish(record.bundle, by: key.keyHash, from: IPAddress(address))
        return nil
      } catch let refusal as Refusal { return refusal.problem.kind }
    }
    #expect(try await publish(Fixture.alice, from: "2001:db8:0:1::1") == nil)
    #expect(try await publish(Fixture.bob, from: "2001:db8:0:ff00::1") == (isRefused ? .rateLimited : nil))
    try await registry.checkReadiness()
    try await registry.shutdown()
  }

  @Test func `a record that has expired is not found, also before upkeep takes its content`() async throws {
    let store = try SQLiteStore(inMemory: SQLiteStore.Bounds())
    let clock = TestClock()
    let registry = try await registry(store, clock)
    let record = try Fixture.record(of: Fixture.alice, expiry: clock.now + .seconds(10))
    try await registry.publish(record.bundle, by: record.keyHash, from: nil)
    _ = try await registry.lookUp(record.peerID, for: record.keyHash)
    try await store.prune(now: clock.now + .seconds(20))
    // Emptied by a clock that was ahead.
    await #expect(throws: Refusal(.peerNotFound)) {
      try await registry.lookUp(record.peerID, for: record.keyHash)
    }
    clock.advance(by: 10)
    await #expect(throws: Refusal(.peerNotFound)) {
      try await registry.lookUp(record.peerID, for: record.keyHash)
    }
    try await registry.shutdown()
  }

  @Test func `a failure that every request meets is logged once between upkeeps`() async throws {
    let registry = try await registry(try SQLiteStore(inMemory: SQLiteStore.Bounds()), TestClock())
    #expect(registry.isNews(.diskFull("a")))
    #expect(!registry.isNews(.diskFull("a")))
    #expect(registry.isNews(.damaged("a")))
    try await registry.maintain()
    #expect(registry.isNews(.diskFull("a")))
    try await registry.shutdown()
  }

  @Test func `upkeep finds out by itself that nothing can be stored`() async throws {
    try await Fixture.withFullStore { store, file in
      let registry = try await registry(store, TestClock())
      await #expect(throws: StoreFailure.diskFull(file)) { try await registry.maintain() }
      await #expect(throws: StoreFailure.diskFull(file)) { try await registry.checkReadiness() }
      try await registry.shutdown()
    }
  }

  @Test func `a check that is done gives its place back`() async throws {
    let store = try SQLiteStore(inMemory: SQLiteStore.Bounds())
    let registry = try await registry(store, TestClock(), work: WorkThreads(limit: 1))
    for _ in 0..<2 { _ = try await registry.logIn(try request(for: registry.challenge())) }
    try await registry.shutdown()
  }

  @Test func `the node list is signed anew before it expires`() async throws {
    let store = try SQLiteStore(inMemory: SQLiteStore.Bounds())
    let clock = TestClock()
    let registry = try await registry(store, clock)
    clock.advance(by: 90_000)
    try await registry.maintain()
    let answer = try await registry.logIn(try request(for: registry.challenge())).decoded(VerifyAnswer.self)
    #expect(
      answer.nodes.verified(from: Fixture.backboneKey.keyHash, now: clock.now, tolerance: .seconds(1))
        == Fixture.settings().nodes)
    try await registry.shutdown()
  }
}

extension [UInt8] {
  fileprivate func decoded<Message: Decodable>(_ type: Message.Type) throws -> Message {
    try JSONDecoder().decode(type, from: Data(self))
  }
}
