import MeshCrypto
import MeshWire
import Testing

@testable import MeshSession

/// What someone on the path, who reads M1 and so can make the macs of the clear, can't bring about; and what
/// a replay can't.
@Suite struct HandshakeRuleTests {
  /// Instead of the name that M1 gives itself, which would be another each time.
  private let id: UInt64 = 7
  private let random = [UInt8](repeating: 9, count: 32)
  private var macKey: [UInt8] { Macs.clearKey(random: random) }

  /// An attempt with bob whose M1 is out, for AES-256-GCM only.
  private func initiator(responderKey: IdentityPublicKey? = nil) throws -> Initiator {
    var initiator = Initiator(
      responder: Identities.bob.keyHash, responderKey: responderKey, own: Identities.alice.publicKey,
      sendsPublicKey: true, suites: [.aes256GCM],
      entropy: InitiatorEntropy(id: 7, random: random, receiverIndex: 1, jitterSeed: 1), now: World.start)
    var actions: [HandshakeAction] = []
    initiator.start(now: World.start, into: &actions)
    initiator.computed(.offer(try KeyExchangeSecret()), now: World.start, into: &actions)
    initiator.id = id
    return initiator
  }

  private func m2a(
    header: AEADSuite = .aes256GCM, body: AEADSuite = .aes256GCM, id: UInt64? = nil
  ) throws -> [[UInt8]] {
    let answer = try #require(KeyExchangeAnswer([UInt8](repeating: 1, count: KeyExchangeAnswer.size)))
    let text = M2aBody(responder: 5, answer: answer, suite: body, receiverIndex: 3).encode()
    return OutgoingFragments.clear(
      .m2a, text, suite: header.rawValue, receiver: id ?? self.id, macKey: macKey
    ).datagrams
  }

  private func give(_ datagrams: [[UInt8]], to initiator: inout Initiator) -> [HandshakeAction] {
    var actions: [HandshakeAction] = []
    for datagram in datagrams { initiator.receive(datagram, now: World.start, into: &actions) }
    return actions
  }

  /// Nothing else bounds what an attempt sends, and a world of two such attempts would never come to an end.
  @Test func anAttemptSendsAgainWhenItIsDueAndNoSooner() throws {
    var initiator = try initiator()
    let due = try #require(initiator.nextDeadline)
    var actions: [HandshakeAction] = []
    for milliseconds in [0, 1, 100, 400] {
      initiator.advance(to: World.start + .milliseconds(milliseconds), into: &actions)
    }
    #expect(actions.isEmpty && initiator.nextDeadline == due)
    initiator.advance(to: due, into: &actions)
    #expect(actions.count == 3)
  }

  @Test func aFragmentOfM2aThatComesAgainChangesNothing() throws {
    var initiator = try initiator()
    let first = try m2a()[0]
    _ = give([first, first], to: &initiator)
    #expect(initiator.drops[.duplicate] == 1 && initiator.m2.bitmap == 1)
  }

  @Test func onlyWhatIsForAnInitiatorNamesAnAttempt() throws {
    let datagram = try m2a()[0]
    #expect(Initiator.id(in: datagram.span) == id)
    for kind in [1, 2, 6, 8] as [UInt8] {
      let other = [kind] + datagram.dropFirst()
      #expect(Initiator.id(in: other.span) == nil)
    }
    for count in 0...Layout.headerSize {
      let short = Array(datagram.prefix(count))
      #expect(Initiator.id(in: short.span) == nil)
    }
  }

  @Test func aDatagramOfAnotherAttemptIsNotTaken() throws {
    var initiator = try initiator()
    _ = give(try m2a(id: 8), to: &initiator)
    #expect(initiator.drops[.unknownHandshake] == 2)
  }

  @Test func aSuiteThatWasNotOfferedIsNotTaken() throws {
    var initiator = try initiator()
    _ = give(try m2a(header: .chaCha20Poly1305, body: .chaCha20Poly1305), to: &initiator)
    #expect(initiator.drops[.noCommonSuite] == 2)
    #expect(initiator.m2.bitmap == 0)
  }

  @Test func anM2aThatNamesTwoSuitesIsForgotten() throws {
    var initiator = try initiator()
    let actions = give(try m2a(body: .chaCha20Poly1305), to: &initiator)
    #expect(initiator.drops[.malformed] == 1 && initiator.m2.bitmap == 0)
    #expect(!actions.contains { if case .compute = $0 { true } else { false } }, "no key exchange for it")
  }

  @Test func aRetryAfterPartOfM2BeginsNothingAnew() throws {
    var initiator = try initiator()
    _ = give([try m2a()[0]], to: &initiator)
    let retry = HandshakeDatagram.encode(
      .retry, suite: 0, index: 0, count: 1, receiver: id, rest: [UInt8](repeating: 1, count: 16),
      macKey: macKey)
    let actions = give([retry], to: &initiator)
    #expect(initiator.drops[.unexpected] == 1 && initiator.m2.bitmap == 1)
    #expect(!actions.contains { if case .send = $0 { true } else { false } })
  }

  private func m2b(index: Int, count: Int, fill: UInt8) -> [UInt8] {
    HandshakeDatagram.encode(
      .m2b, suite: 1, index: index, count: count, receiver: id,
      rest: [UInt8](repeating: fill, count: Layout.fragmentSize), macKey: macKey)
  }

  @Test func anM2bHasTheFragmentsThatWereAskedFor() throws {
    var asking = try initiator()
    _ = give([m2b(index: 0, count: 4, fill: 1)], to: &asking)
    #expect(asking.drops[.malformed] == 1 && asking.m2.pending.isEmpty)
    var knowing = try initiator(responderKey: Identities.bob.publicKey)
    _ = give([m2b(index: 0, count: 7, fill: 1)], to: &knowing)
    #expect(knowing.drops[.malformed] == 1 && knowing.m2.pending.isEmpty)
  }

  /// As of M2a: what comes together belongs together, and what an M2 before left would spoil the next.
  @Test func aLaterFragmentOfM2bTakesThePlaceOfOneThatWaits() throws {
    var initiator = try initiator()
    _ = give([m2b(index: 0, count: 7, fill: 1), m2b(index: 0, count: 7, fill: 2)], to: &initiator)
    #expect(initiator.drops[.duplicate] == 0 && initiator.m2.pending[0]?.rest.first == 2)
    _ = give([m2b(index: 0, count: 7, fill: 2)], to: &initiator)
    #expect(initiator.drops[.duplicate] == 1)
  }

  @Test func aKeyOfAnotherThanTheOneDialledIsNotUsed() throws {
    #expect(try initiator(responderKey: Identities.mallory.publicKey).responderKey == nil)
    #expect(try initiator(responderKey: Identities.bob.publicKey).responderKey != nil)
  }

  /// Alice with bob's M2 but for the last fragment of M2b.
  private func almostDone() -> World {
    let world = World()
    world.fate = { _, sent in sent.kind == 5 && sent.bytes[3] == 3 ? [] : [World.latency] }
    world.begin()
    world.run(for: .milliseconds(100))
    return world
  }

  private func forged(_ kind: Layout.Kind, _ index: Int, _ count: Int, to world: World) -> [UInt8] {
    let size = kind == .m2b && index == 3 ? Layout.identityBodySize - 3 * Layout.fragmentSize : nil
    return HandshakeDatagram.encode(
      kind, suite: 1, index: index, count: count, receiver: world.alice.initiator?.id ?? 0,
      rest: [UInt8](repeating: 3, count: size ?? Layout.fragmentSize),
      macKey: Macs.clearKey(random: [UInt8](repeating: 8, count: 32)))
  }

  @Test func whatTheResponderHasProvedNoForgeryThrowsAway() {
    let world = almostDone()
    #expect(world.alice.initiator?.m2.isProven == true)
    world.alice.receive(forged(.m2a, 0, 2, to: world), from: world.bob.endpoint, now: world.now)
    #expect(world.alice.drops.last == .conflicting)
    for _ in 0..<10 {
      world.alice.receive(forged(.m2b, 3, 4, to: world), from: world.bob.endpoint, now: world.now)
    }
    #expect(world.alice.drops.last == .unopened)
    #expect(world.alice.initiator?.m2.isProven == true)
    world.fate = { _, _ in [World.latency] }
    #expect(world.run(for: .seconds(3)) { world.isEstablished })
    #expect(world.sentCount(2, fromAlice: true) == 2, "M1 went out once")
  }

  @Test func aForgedAckDoesNotStopTheResendingOfM3() {
    let world = World()
    world.fate = { _, sent in sent.kind == 6 ? [] : [World.latency] }
    world.begin()
    world.run(for: .milliseconds(100))
    func ack(_ random: UInt8) {
      let datagram = HandshakeDatagram.ack(
        0x7f, suite: 1, receiver: world.alice.initiator?.id ?? 0,
        macKey: Macs.clearKey(random: [UInt8](repeating: random, count: 32)))
      world.alice.receive(datagram, from: world.bob.endpoint, now: world.now)
    }
    ack(1)
    #expect(world.alice.drops.last == .badMac && world.alice.initiator?.m3.isAcknowledged == false)
    ack(8)
    #expect(world.alice.initiator?.m3.isAcknowledged == true)
  }

  @Test func anM2aUnderWhichNothingOpensIsGivenUp() throws {
    let world = World()
    world.fate = { _, sent in sent.fromAlice ? [World.latency] : [] }
    world.begin()
    world.run(for: .milliseconds(30))
    // Someone else's answer, with good macs, is there first.
    for datagram in try ForgedResponder().answer(world.sent.filter { $0.kind == 2 }.map(\.bytes)).prefix(2) {
      world.alice.receive(datagram, from: world.bob.endpoint, now: world.now)
    }
    #expect(world.alice.initiator?.m2.opened != nil)
    for sent in world.sent where sent.kind == 5 {
      world.alice.receive(sent.bytes, from: world.bob.endpoint, now: world.now)
    }
    #expect(world.alice.drops == Array(repeating: .unopened, count: 4))
    #expect(world.alice.initiator?.m2.bitmap == 0)
  }

  @Test func anIdentityThatNamesAnotherKeyHashIsRefused() throws {
    let world = World()
    world.fate = { _, _ in [] }
    world.begin()
    world.run(for: .milliseconds(1))
    let lying = ForgedResponder(bodyKeyHash: Identities.mallory.keyHash)
    for datagram in try lying.answer(world.sent.map(\.bytes)) {
      world.alice.receive(datagram, from: world.bob.endpoint, now: world.now)
    }
    #expect(world.alice.drops == [.wrongIdentity] && world.alice.session == nil)
  }

  @Test func aFragmentOfM2bThatComesAgainIsNoProgress() throws {
    let world = almostDone()
    world.run(for: .seconds(1))
    let acks = try #require(world.alice.initiator?.fruitlessAcks)
    let again = try #require(world.sent.first { $0.kind == 5 }?.bytes)
    world.alice.receive(again, from: world.bob.endpoint, now: world.now)
    #expect(world.alice.drops.last == .duplicate)
    #expect(acks > 0 && world.alice.initiator?.fruitlessAcks == acks)
  }

  // MARK: The responder

  @Test func anM3ThatIsRefusedLeavesNothingBehind() {
    let world = World()
    world.bob.admission = { _ in .refuse }
    world.begin()
    world.run(for: .milliseconds(200))
    #expect(world.bob.drops.contains(.notAdmitted) && world.bob.session == nil)
    #expect(world.bob.table.halfOpenCount == 0 && world.bob.table.perPrefix.isEmpty)
  }

  private func m1(index: Int, count: Int, id: UInt64 = 1) throws -> [UInt8] {
    let body = M1Body(
      offer: try KeyExchangeSecret().offer, random: random, suites: [1], wantsPublicKey: false,
      receiverIndex: 1
    ).encode()
    return M1Datagram.encode(
      body: body, index: index, count: count, initiator: id, cookie: [UInt8](repeating: 0, count: 16),
      mac1Key: Macs.mac1Key(responder: Identities.bob.keyHash))
  }

  @Test func theFragmentsOfOneM1AgreeHowManyTheyAre() throws {
    let world = World()
    world.bob.receive(try m1(index: 0, count: 2), from: world.alice.endpoint, now: world.now)
    world.bob.receive(try m1(index: 1, count: 3), from: world.alice.endpoint, now: world.now)
    #expect(world.bob.table.halfOpenCount == 2 && world.bob.jobs.isEmpty, "neither is whole")
  }

  @Test func twoHalfOpensNeverShareAReceiverIndex() throws {
    var table = ResponderTable(
      own: Identities.bob.publicKey, alwaysDemandsCookie: false, secretSeed: random, now: World.start)
    var actions: [ResponderAction] = []
    for number in 1...2 as ClosedRange<UInt16> {
      for index in 0..<2 {
        table.receive(
          try m1(index: index, count: 2, id: UInt64(number)),
          from: Endpoint(.v4(0xc000_0201), port: number), now: World.start, queuedJobs: 0,
          freshIndex: { 7 }, admission: { _ in .refuse }, into: &actions)
      }
    }
    #expect(table.byIndex.count == 1 && table.drops[.unexpected] == 1)
    #expect(actions.count { if case .compute = $0 { true } else { false } } == 1)
  }

  @Test func noHalfOpenHasTheReceiverIndexZero() throws {
    var table = ResponderTable(
      own: Identities.bob.publicKey, alwaysDemandsCookie: false, secretSeed: random, now: World.start)
    var actions: [ResponderAction] = []
    for index in 0..<2 {
      table.receive(
        try m1(index: index, count: 2), from: Endpoint(.v4(0xc000_0201), port: 1), now: World.start,
        queuedJobs: 0, freshIndex: { 0 }, admission: { _ in .refuse }, into: &actions)
    }
    #expect(table.byIndex.isEmpty && table.drops[.unexpected] == 1)
    #expect(!actions.contains { if case .compute = $0 { true } else { false } })
  }

  @Test func anAckOfBeforeBringsNoM2OnceM3HasBegun() throws {
    let world = World()
    world.fate = { _, sent in sent.kind == 6 && sent.bytes[3] > 0 ? [] : [World.latency] }
    world.begin()
    world.run(for: .milliseconds(100))
    let m2a = try #require(world.sent.first { $0.kind == 4 }?.bytes)
    let key = Macs.clearKey(random: [UInt8](repeating: 8, count: 32))
    func ack(suite: UInt8) {
      let datagram = HandshakeDatagram.ack(
        0, suite: suite, receiver: m2a.bigEndian64(at: 29), macKey: key)
      world.bob.receive(datagram, from: world.alice.endpoint, now: world.now)
    }
    ack(suite: 1)
    #expect(world.bob.drops.last == .duplicate && world.bob.outbox.isEmpty)
    ack(suite: 2)
    #expect(world.bob.drops.last == .malformed)
  }

  @Test func aFragmentOfALongerM3IsNoPartOfThisOne() throws {
    let world = World()
    world.fate = { _, sent in sent.kind == 6 && sent.bytes[3] > 0 ? [] : [World.latency] }
    world.begin(sendsPublicKey: false)
    world.run(for: .milliseconds(100))
    let m2a = try #require(world.sent.first { $0.kind == 4 }?.bytes)
    let longer = HandshakeDatagram.encode(
      .m3, suite: 1, index: 6, count: 7, receiver: m2a.bigEndian64(at: 29),
      rest: [UInt8](repeating: 1, count: Layout.identityBodySizeWithKey - 6 * Layout.fragmentSize),
      macKey: random)
    world.bob.receive(longer, from: world.alice.endpoint, now: world.now)
    #expect(world.bob.drops.last == .conflicting)
  }

  @Test func ourOwnIdentityIsNobodyElses() {
    let world = World()
    ForgedM3(
      identity: Identities.bob, claims: Identities.bob.publicKey, sentKey: Identities.bob.publicKey
    ).deliver(to: world)
    #expect(world.bob.drops.contains(.wrongIdentity) && world.bob.session == nil)
  }

  private let elsewhere = Endpoint(.v4(0xc000_0299), port: 5)

  @Test func earlyPacketsAreKeptFromTheAddressOfTheHandshakeOnly() throws {
    let world = World()
    world.fate = { _, sent in sent.kind == 6 && sent.bytes[3] > 0 ? [] : [World.latency] }
    world.begin()
    world.run(for: .milliseconds(100))
    let index = try #require(world.bob.table.byIndex.keys.first)
    var early: [UInt8] = [1, 0, 0, 0]
    early.append(bigEndian: index)
    early += [UInt8](repeating: 0, count: 24)
    let isOurs = world.bob.table.receiveEarly(early.span, from: elsewhere)
    #expect(isOurs && world.bob.table.drops[.earlyFull] == 1)
    _ = world.bob.table.receiveEarly(early.span, from: world.alice.endpoint)
    #expect(world.bob.table.halfOpens.values.first?.early.count == 1)
  }

  @Test func aThousandAndTwentyFourFinishedHandshakesAreRememberedAndNoMore() {
    var table = ResponderTable(
      own: Identities.bob.publicKey, alwaysDemandsCookie: false, secretSeed: random, now: World.start)
    for number in 0..<1_100 as Range<UInt64> {
      table.remember(
        CompletedHandshake(
          origin: HalfOpen.Origin(source: elsewhere, initiator: number), responderID: number,
          receiveIndex: 1, suite: .aes256GCM, m3Key: AEADKey(.aes256GCM, key: random),
          until: World.start + .seconds(30), lastConfirmation: World.start))
    }
    #expect(table.completed.count == 1_024 && table.completedOrder.count == 1_024)
    #expect(table.completedOrigins.count == 1_024 && table.completed[75] == nil)
  }

  /// Jobs for an M1 whose cookie was given so long before; nothing else happened meanwhile.
  private func jobs(after quiet: Duration) throws -> Int {
    let world = World(alwaysDemandsCookie: true)
    world.bob.receive(try m1(index: 1, count: 2), from: elsewhere, now: world.now)
    let retry = try #require(world.bob.outbox.first.flatMap { HandshakeDatagram($0.datagram) })
    let body = M1Body(
      offer: try KeyExchangeSecret().offer, random: random, suites: [1], wantsPublicKey: false,
      receiverIndex: 1
    ).encode()
    for index in 0..<2 {
      let datagram = M1Datagram.encode(
        body: body, index: index, count: 2, initiator: 1, cookie: retry.rest,
        mac1Key: Macs.mac1Key(responder: Identities.bob.keyHash))
      world.bob.receive(datagram, from: elsewhere, now: world.now + quiet)
    }
    return world.bob.jobs.count
  }

  @Test func anOldCookieIsNotGoodAfterAQuietTime() throws {
    #expect(try jobs(after: .seconds(100)) > 0)
    #expect(try jobs(after: .seconds(241)) == 0)
  }

  @Test func aCookieIsGoodForItsIPv6AddressOnly() {
    let jar = CookieJar(seed: random, now: World.start)
    let cookie = jar.cookie(for: Endpoint(.v6(1 << 125 | 1), port: 9), initiator: 7)[...]
    #expect(jar.isGood(cookie, for: Endpoint(.v6(1 << 125 | 1), port: 9), initiator: 7))
    #expect(!jar.isGood(cookie, for: Endpoint(.v6(1 << 125 | 2), port: 9), initiator: 7))
  }
}
