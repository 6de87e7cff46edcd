import MeshCrypto
import MeshWire
import Testing

@testable import MeshSession

/// Who gets a place among the half-opens when somebody wants them all (SMH1.md §7).
@Suite struct PlaceTests {
  private let random = [UInt8](repeating: 9, count: 32)
  private let limits = ResponderLimits(halfOpens: 12, halfOpensPerPrefix: 4, cookieThreshold: 1_000)

  private func table() -> ResponderTable {
    ResponderTable(
      own: Identities.bob.publicKey, limits: limits, alwaysDemandsCookie: false, secretSeed: random,
      now: World.start)
  }

  /// A whole M1 with a fresh offer, or with `offer`.
  private func m1(id: UInt64, offer: KeyExchangeSecret? = nil) throws -> [[UInt8]] {
    let body = M1Body(
      offer: try (offer ?? KeyExchangeSecret()).offer, random: random, suites: [1], wantsPublicKey: false,
      receiverIndex: 1
    ).encode()
    return (0..<2).map {
      M1Datagram.encode(
        body: body, index: $0, count: 2, initiator: id, cookie: [UInt8](repeating: 0, count: 16),
        mac1Key: Macs.mac1Key(responder: Identities.bob.keyHash))
    }
  }

  private func endpoint(_ prefix: UInt32, _ number: UInt32 = 1) -> Endpoint {
    Endpoint(.v4(0xc000_0000 + prefix << 8 + number), port: 9)
  }

  /// Begins a half-open, and says which it is.
  @discardableResult
  private func begin(
    _ table: inout ResponderTable, from source: Endpoint, id: UInt64, isValidated: Bool = true
  ) throws -> HalfOpenID? {
    var actions: [ResponderAction] = []
    table.receive(
      try m1(id: id)[0], from: source, now: World.start, queuedJobs: 0, freshIndex: { 1 },
      admission: { _ in .refuse }, into: &actions)
    let half = table.byOrigin[HalfOpen.Origin(source: source, initiator: id)]?.last
    if isValidated, let half { table.halfOpens[half]?.validate(now: World.start) }
    return half
  }

  @Test func whoHoldsTheWholeTableGivesWayToWhoHoldsLittle() throws {
    var table = table()
    var first: HalfOpenID?
    for prefix in 0..<3 as Range<UInt32> {
      for number in 0..<4 as Range<UInt32> {
        let id = try begin(&table, from: endpoint(prefix, number), id: UInt64(prefix * 4 + number))
        first = first ?? id
      }
    }
    let newcomer = try begin(&table, from: endpoint(9), id: 100)
    #expect(newcomer != nil && table.halfOpenCount == 12 && table.drops[.halfOpensFull] == 1)
    #expect(first.map { table.halfOpens[$0] == nil } == true, "the oldest of those that hold most")
    for number in 2...4 as ClosedRange<UInt32> {
      try begin(&table, from: endpoint(9, number), id: 100 + UInt64(number))
    }
    #expect(table.perPrefix[endpoint(9).address.limitPrefix] == 3, "and no more than an equal share")
    #expect(table.halfOpenCount == 12)
  }

  @Test func inOneNetworkTheOldestThatHasComeTheLeastFarGivesWay() throws {
    var table = table()
    let worked = try #require(try begin(&table, from: endpoint(1, 1), id: 1))
    table.halfOpens[worked]?.m3 = Reassembly(count: 4)
    let validated = try #require(try begin(&table, from: endpoint(1, 2), id: 2))
    let forged = try #require(try begin(&table, from: endpoint(1, 3), id: 3, isValidated: false))
    let later = try #require(try begin(&table, from: endpoint(1, 4), id: 4))
    #expect(try begin(&table, from: endpoint(1, 5), id: 5) != nil)
    #expect(table.halfOpens[forged] == nil, "its address may be anybody's")
    #expect(try begin(&table, from: endpoint(1, 6), id: 6) != nil)
    #expect(table.halfOpens[validated] == nil && table.halfOpens[later] != nil)
    #expect(table.halfOpens[worked] != nil && table.halfOpenCount == 4)
  }

  @Test func whoAcknowledgesForeverIsForgottenAfterThirtySeconds() {
    let world = World()
    world.fate = { _, sent in sent.kind == 6 ? [] : [World.latency] }
    world.begin()
    world.run(for: .milliseconds(100))
    let key = Macs.clearKey(random: [UInt8](repeating: 8, count: 32))
    let began = world.now
    for second in 1...40 {
      guard let half = world.bob.table.halfOpens.values.first else {
        #expect(second > 26 && second <= 31)
        return
      }
      let ack = HandshakeDatagram.ack(
        second.isMultiple(of: 2) ? 1 : 2, suite: 1, receiver: half.responderID, macKey: key)
      world.now = began + .seconds(second)
      world.bob.receive(ack, from: world.alice.endpoint, now: world.now)
      world.bob.advance(to: world.now)
    }
    Issue.record("it was kept for 40 s")
  }

  @Test(arguments: [0, 1], [true, false])
  func aForgedFragmentThatComesFirstDoesNotKeepTheTrueOneOut(index: Int, isOfAnotherCount: Bool) throws {
    let world = World()
    world.fate = { _, _ in [] }
    world.begin()
    world.run(for: .milliseconds(1))
    let real = world.sent.filter { $0.kind == 2 }.map(\.bytes)
    var fragment = Array(real[index][Layout.m1HeaderSize...])
    if !isOfAnotherCount { fragment[3] ^= 1 }
    var header = Array(real[index][..<Layout.m1MacOffset])
    if isOfAnotherCount { header[4] = header[4] == 2 ? 3 : 2 }
    let mac = Macs.mac1(
      key: Macs.mac1Key(responder: Identities.bob.keyHash), header: header[...], fragment: fragment[...])
    world.bob.receive(header + mac + fragment, from: world.alice.endpoint, now: world.now)
    world.fate = { _, _ in [World.latency] }
    #expect(world.run(for: .seconds(3)) { world.isEstablished })
    #expect(world.bob.table.halfOpenCount == 0, "what was forged goes with it")
  }

  /// Each forged fragment came first, and each is joined with a true one.
  @Test func trueFragmentsFindEachOtherAmongForgedOnes() throws {
    let world = World()
    world.fate = { _, _ in [] }
    world.begin()
    world.run(for: .milliseconds(1))
    let real = world.sent.filter { $0.kind == 2 }.map(\.bytes)
    let source = world.alice.endpoint
    world.bob.receive(try forged(real[0]), from: source, now: world.now)
    world.bob.receive(real[1], from: source, now: world.now)
    world.bob.receive(try forged(real[1]), from: source, now: world.now)
    world.bob.receive(real[0], from: source, now: world.now)
    let half = try #require(world.bob.table.halfOpens.values.first)
    #expect(world.bob.table.halfOpenCount == 1 && half.isNamed)
    #expect(KeySchedule.initiatorID(of: half.m1Body) == world.alice.initiator?.id)
    let arrived = real[0].count * 4
    #expect(half.budget.received == arrived, "what came under any of them pays once")
    world.bob.receive(try forged(real[0], bit: 2), from: source, now: world.now)
    #expect(world.bob.drops.last == .conflicting, "it is known which is true")
    #expect(world.bob.table.halfOpenCount == 1)
  }

  private func forged(_ datagram: [UInt8], bit: UInt8 = 1) throws -> [UInt8] {
    let m1 = try #require(M1Datagram(datagram))
    var fragment = Array(m1.fragment)
    fragment[3] ^= bit
    let mac = Macs.mac1(
      key: Macs.mac1Key(responder: Identities.bob.keyHash), header: m1.authenticatedHeader,
      fragment: fragment[...])
    return Array(m1.authenticatedHeader) + mac + fragment
  }

  /// Whom nobody can tell from the forger: one M2 at a time goes out again, or the initiator would mix them.
  @Test func ofSeveralClaimsOneIsAnsweredAgainAtATime() throws {
    let world = World()
    let source = endpoint(7)
    let first = try m1(id: 1)
    let second = try m1(id: 1)
    world.bob.receive(first[0], from: source, now: world.now)
    world.bob.receive(first[1], from: source, now: world.now)
    world.bob.receive(second[0], from: source, now: world.now)
    #expect(world.bob.table.halfOpenCount == 2)
    world.bob.receive(first[1], from: source, now: world.now)
    let m2s = world.bob.outbox.count
    world.bob.outbox = []
    for _ in 0..<6 { world.bob.receive(first[1], from: source, now: world.now) }
    #expect(m2s > 0 && world.bob.table.halfOpens.values.map(\.resends).sorted() == [3, 3])
    let validated = world.bob.table.halfOpens.keys.sorted()
    for id in validated { world.bob.table.halfOpens[id]?.validate(now: world.now) }
    world.bob.outbox = []
    world.bob.advance(to: world.now + .milliseconds(900))
    #expect(world.bob.outbox.isEmpty, "nor by a timer")
  }
}
