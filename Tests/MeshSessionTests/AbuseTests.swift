import MeshCrypto
import MeshWire
import RepeatableRandom
import Testing

@testable import MeshSession

@Suite struct AbuseTests {
  private static let noCookie = [UInt8](repeating: 0, count: 16)

  /// A whole M1 to bob, of any id, without a handshake around it.
  private func m1(
    id: UInt64, cookie: [UInt8] = noCookie, responder: KeyHash = Identities.bob.keyHash
  ) throws -> [[UInt8]] {
    let body = M1Body(
      offer: try KeyExchangeSecret().offer, random: [UInt8](repeating: 9, count: 32), suites: [1],
      wantsPublicKey: false, receiverIndex: 1
    ).encode()
    return (0..<2).map {
      M1Datagram.encode(
        body: body, index: $0, count: 2, initiator: id, cookie: cookie,
        mac1Key: Macs.mac1Key(responder: responder))
    }
  }

  private func endpoint(_ number: UInt32, port: UInt16 = 9) -> Endpoint {
    Endpoint(.v4(0x0a00_0000 + number), port: port)
  }

  @Test func withoutMac1ThereIsSilenceAndNoState() throws {
    let world = World()
    for datagram in try m1(id: 1, responder: Identities.mallory.keyHash) {
      world.bob.receive(datagram, from: endpoint(1), now: world.now)
    }
    #expect(world.bob.drops == [.badMac1, .badMac1])
    #expect(world.bob.outbox.isEmpty && world.bob.jobs.isEmpty && world.bob.table.halfOpenCount == 0)
    for datagram in try m1(id: 1) { world.bob.receive(datagram, from: endpoint(1), now: world.now) }
    #expect(world.bob.jobs.count == 2, "the control: the same with the right KeyHash is answered")
  }

  @Test func aPublicNodeAlwaysDemandsACookieAndComputesNothingBefore() throws {
    let world = World(alwaysDemandsCookie: true)
    for datagram in try m1(id: 1) { world.bob.receive(datagram, from: endpoint(1), now: world.now) }
    #expect(world.bob.jobs.isEmpty && world.bob.table.halfOpenCount == 0)
    #expect(world.bob.outbox.map { $0.datagram.count } == [45], "one Retry for the two")
    world.bob.outbox = []
    world.begin()
    #expect(world.run(for: .seconds(2)) { world.isEstablished })
    #expect(world.sentCount(3, fromAlice: false) == 1)
    #expect(world.sentCount(2, fromAlice: true) == 4)
  }

  @Test func underLoadNothingAsymmetricIsComputedBeforeAGoodCookie() throws {
    let world = World()
    world.bob.queuedJobs = 64
    let datagrams = try m1(id: 3)
    for datagram in datagrams { world.bob.receive(datagram, from: endpoint(3), now: world.now) }
    #expect(world.bob.jobs.isEmpty && world.bob.table.halfOpenCount == 0)
    let answer = try #require(world.bob.outbox.first?.datagram)
    let retry = try #require(HandshakeDatagram(answer))
    for datagram in try m1(id: 3, cookie: retry.rest) {
      world.bob.receive(datagram, from: endpoint(3), now: world.now)
    }
    #expect(world.bob.jobs.count == 2, "with the cookie it goes on")
    world.bob.queuedJobs = 63
    for datagram in try m1(id: 4) { world.bob.receive(datagram, from: endpoint(4), now: world.now) }
    #expect(world.bob.jobs.count == 4, "and without load it needs none")
  }

  @Test func sixtyFourHalfOpensAreLoad() throws {
    let world = World()
    for number in 0..<64 as Range<UInt32> {
      let first = try m1(id: UInt64(number))[0]
      world.bob.receive(first, from: endpoint(number << 8), now: world.now)
    }
    #expect(world.bob.table.halfOpenCount == 64 && world.bob.outbox.isEmpty)
    for datagram in try m1(id: 1_000) { world.bob.receive(datagram, from: endpoint(0xffff), now: world.now) }
    #expect(world.bob.table.halfOpenCount == 64)
    #expect(world.bob.outbox.count == 1 && world.bob.outbox[0].datagram[0] == 3)
  }

  @Test func aCookieIsGoodForItsAddressItsPortItsIDAndUntilTwoRotations() {
    var jar = CookieJar(seed: [UInt8](repeating: 1, count: 32), now: World.start)
    let cookie = jar.cookie(for: endpoint(1), initiator: 7)[...]
    #expect(jar.isGood(cookie, for: endpoint(1), initiator: 7))
    #expect(!jar.isGood(cookie, for: endpoint(2), initiator: 7))
    #expect(!jar.isGood(cookie, for: endpoint(1, port: 10), initiator: 7))
    #expect(!jar.isGood(cookie, for: endpoint(1), initiator: 8))
    #expect(!jar.isGood(Self.noCookie[...], for: endpoint(1), initiator: 7))
    jar.rotate(now: World.start + .seconds(119))
    jar.rotate(now: World.start + .seconds(120))
    #expect(jar.isGood(cookie, for: endpoint(1), initiator: 7))
    jar.rotate(now: World.start + .seconds(239))
    #expect(jar.isGood(cookie, for: endpoint(1), initiator: 7))
    jar.rotate(now: World.start + .seconds(240))
    #expect(!jar.isGood(cookie, for: endpoint(1), initiator: 7))
    var idle = CookieJar(seed: [UInt8](repeating: 1, count: 32), now: World.start)
    idle.rotate(now: World.start + .seconds(1_000))
    #expect(!idle.isGood(cookie, for: endpoint(1), initiator: 7), "after a pause both secrets are new")
  }

  /// Without the bound whoever sees M1 makes its sender repeat it as often as he likes; with a bound of one,
  /// a forged Retry that comes first keeps the true one out.
  @Test func fourRetriesWithDifferentCookiesAreTakenASecond() throws {
    let world = World(alwaysDemandsCookie: true)
    world.fate = { _, _ in [] }
    world.begin()
    world.run(for: .milliseconds(1))
    let first = try #require(M1Datagram(world.sent[1].bytes))
    let random = first.fragment.dropFirst(Layout.m1RandomInFragment).prefix(Layout.randomSize)
    func retry(_ number: UInt8) -> [UInt8] {
      HandshakeDatagram.encode(
        .retry, suite: 0, index: 0, count: 1, receiver: first.initiator,
        rest: [UInt8](repeating: number, count: 16), macKey: Macs.clearKey(random: random))
    }
    for number in 1...6 as ClosedRange<UInt8> {
      world.alice.receive(retry(number), from: world.bob.endpoint, now: world.now)
    }
    #expect(world.alice.outbox.count == 4 * 2)
    #expect(world.alice.drops.filter { $0 == .retryTooSoon }.count == 2)
    world.now = world.now + .seconds(1)
    world.alice.outbox = []
    world.alice.receive(retry(7), from: world.bob.endpoint, now: world.now)
    #expect(world.alice.outbox.count == 2)
  }

  @Test func aRetryIsTakenOnlyOnceAndOnlyWithItsMac() throws {
    let world = World(alwaysDemandsCookie: true)
    world.fate = { _, _ in [] }
    world.begin()
    world.run(for: .milliseconds(1))
    for sent in world.sent { world.bob.receive(sent.bytes, from: world.alice.endpoint, now: world.now) }
    let retry = try #require(world.bob.outbox.first?.datagram)
    var forged = retry
    forged[40] ^= 1
    world.alice.receive(forged, from: world.bob.endpoint, now: world.now)
    #expect(world.alice.drops == [.badMac] && world.alice.outbox.isEmpty)
    world.alice.receive(retry, from: world.bob.endpoint, now: world.now)
    world.alice.receive(retry, from: world.bob.endpoint, now: world.now)
    #expect(world.alice.outbox.count == 2, "M1 once")
    #expect(world.alice.drops.last == .retryTooSoon)
  }

  @Test func neverMoreThanThreeTimesWhatCameGoesToAnAddressThatIsNotValidated() throws {
    let world = World()
    let source = endpoint(5)
    var received = 0
    var sent = 0
    func give(_ datagram: [UInt8]) {
      received += datagram.count
      world.bob.receive(datagram, from: source, now: world.now)
      for (datagram, _) in world.bob.outbox { sent += datagram.count }
      world.bob.outbox = []
      #expect(sent <= 3 * received)
    }
    let datagrams = try m1(id: 6)
    for datagram in datagrams { give(datagram) }
    #expect(sent == 1_682 + 4_807, "M2 went out once")
    let once = sent
    for _ in 0..<20 { give(datagrams[1]) }
    #expect(sent > once, "a repeated M1 brings what the rule allows")
    #expect(world.bob.drops.contains(.amplification))
    world.now = world.now + .milliseconds(2_900)
    world.bob.advance(to: world.now)
    #expect(world.bob.outbox.isEmpty, "no timer of its own before validation")
  }

  @Test func anAckValidatesOnlyWithTheRespondersIDAndItsMac() throws {
    let world = World()
    world.fate = { _, sent in sent.fromAlice ? [World.latency] : [] }
    world.begin()
    world.run(for: .milliseconds(30))
    let key = Macs.clearKey(random: [UInt8](repeating: 8, count: 32))
    let m2a = try #require(world.sent.first { $0.kind == 4 }?.bytes)
    let responder = m2a.bigEndian64(at: 29)
    func budget() -> AmplificationBudget? { world.bob.table.halfOpens.values.first?.budget }
    func ack(_ responder: UInt64, _ macKey: [UInt8], from source: Endpoint) {
      let datagram = HandshakeDatagram.ack(0, suite: 1, receiver: responder, macKey: macKey)
      world.bob.receive(datagram, from: source, now: world.now)
    }
    ack(responder &+ 1, key, from: world.alice.endpoint)
    ack(responder, [UInt8](repeating: 0, count: 32), from: world.alice.endpoint)
    ack(responder, key, from: endpoint(9))
    #expect(budget()?.isValidated == false)
    #expect(world.bob.drops.suffix(3) == [.unknownHandshake, .badMac, .unknownHandshake])
    ack(responder, key, from: world.alice.endpoint)
    #expect(budget()?.isValidated == true)
  }

  @Test func halfOpensAreBoundedInAllAndForEachPrefix() throws {
    let world = World(
      limits: ResponderLimits(halfOpens: 100, halfOpensPerPrefix: 64, cookieThreshold: 1_000))
    for number in 0..<80 as Range<UInt32> {
      world.bob.receive(try m1(id: UInt64(number))[0], from: endpoint(number), now: world.now)
    }
    #expect(world.bob.table.halfOpenCount == 64, "one /24")
    #expect(world.bob.drops == Array(repeating: .prefixFull, count: 16))
    for number in 0..<50 as Range<UInt32> {
      world.bob.receive(try m1(id: 500)[0], from: endpoint(0x10000 + number << 8), now: world.now)
    }
    #expect(world.bob.table.halfOpenCount == 100, "others still get in, up to the whole bound")
    #expect(world.bob.drops.filter { $0 == .halfOpensFull }.count == 14)
    world.now = world.now + .seconds(3)
    world.bob.advance(to: world.now)
    #expect(world.bob.table.halfOpenCount == 0, "three seconds without validation")
    #expect(world.bob.table.perPrefix.isEmpty && world.bob.table.byOrigin.isEmpty)
  }

  @Test func aHalfOpenWhoseAddressIsValidatedEndsTwelveSecondsAfterItsLastProgress() {
    let world = World()
    world.fate = { _, sent in sent.kind == 6 && sent.bytes[3] > 0 ? [] : [World.latency] }
    world.begin()
    world.run(for: .seconds(11))
    #expect(world.bob.table.halfOpenCount == 1)
    world.run(for: .seconds(2))
    #expect(world.bob.table.halfOpenCount == 0 && world.bob.drops.contains(.expired))
    #expect(world.bob.retired.count == 1, "its index is free again")
    #expect(world.bob.table.byIndex.isEmpty && world.bob.table.byResponderID.isEmpty)
  }

  @Test func aReplayedM1CostsBoundedWork() throws {
    let world = World()
    world.begin()
    world.run(for: .seconds(1)) { world.isEstablished }
    let recorded = world.sent.filter { $0.kind == 2 }.map(\.bytes)
    let jobs = world.bob.jobs.count
    for _ in 0..<100 {
      for datagram in recorded { world.bob.receive(datagram, from: world.alice.endpoint, now: world.now) }
    }
    #expect(world.bob.jobs.count == jobs, "the handshake is known to be over")
    for number in 0..<500 as Range<UInt32> {
      for datagram in recorded { world.bob.receive(datagram, from: endpoint(number << 8), now: world.now) }
    }
    #expect(world.bob.jobs.count <= jobs + 2 * 64, "then cookies are demanded")
    #expect(world.bob.sessions.count == 1)
  }

  @Test func otherBytesUnderTheSameIDGetAPlaceBesideTheFirstFourTimes() throws {
    let world = World()
    for _ in 0..<4 { world.bob.receive(try m1(id: 1)[0], from: endpoint(1), now: world.now) }
    #expect(world.bob.table.halfOpenCount == 4 && world.bob.drops.isEmpty)
    world.bob.receive(try m1(id: 1)[0], from: endpoint(1), now: world.now)
    #expect(world.bob.table.halfOpenCount == 4 && world.bob.drops == [.conflicting])
  }

  @Test func aReplayedM3OpensNoSecondSessionAndBringsFourM4ASecondAtMost() {
    let world = World()
    world.begin()
    world.run(for: .seconds(1)) { world.isEstablished }
    world.run(for: .seconds(5))
    let recorded = world.sent.filter { $0.kind == 6 }.map(\.bytes)
    let jobs = world.bob.jobs.count
    let began = world.now
    for step in 0..<100 {
      world.now = began + .milliseconds(10 * step)
      for datagram in recorded { world.bob.receive(datagram, from: world.alice.endpoint, now: world.now) }
    }
    #expect(world.bob.sessions.count == 1 && world.bob.jobs.count == jobs)
    #expect(world.bob.outbox.count == 4)
    var forged = recorded[0]
    forged[100] ^= 1
    world.now = world.now + .seconds(1)
    world.bob.receive(forged, from: world.alice.endpoint, now: world.now)
    #expect(world.bob.drops.last == .unopened && world.bob.outbox.count == 4)
    world.run(for: .seconds(40))
    for datagram in recorded { world.bob.receive(datagram, from: world.alice.endpoint, now: world.now) }
    #expect(world.bob.drops.last == .unknownHandshake, "forgotten after 30 s")
  }

  @Test("M3 from an initiator that has moved gets M4 there, and moves nothing")
  func m3FromElsewhere() throws {
    let world = World()
    world.fate = { _, sent in !sent.fromAlice && sent.kind == 1 ? [] : [World.latency] }
    world.begin()
    world.run(for: .seconds(1)) { world.bob.session != nil }
    world.run(for: .milliseconds(300))
    let m3 = try #require(world.sent.last { $0.kind == 6 }).bytes
    let elsewhere = endpoint(9)
    world.bob.outbox = []
    world.bob.receive(m3, from: elsewhere, now: world.now)
    let answers = world.bob.outbox.filter { $0.to == elsewhere }
    #expect(answers.count == 1 && answers[0].datagram.count == 32 && world.bob.outbox.count == 1)
    #expect(world.bob.peerEndpoint == world.alice.endpoint)
    #expect(world.alice.confirmations == 0)
    world.alice.receive(answers[0].datagram, from: world.bob.endpoint, now: world.now)
    #expect(world.alice.confirmations == 1)
  }

  @Test("who repeats an M3 from elsewhere gets four M4 a second, and keeps none from its initiator")
  func m3RepeatedFromElsewhere() throws {
    let world = World()
    world.begin()
    world.run(for: .seconds(1)) { world.isEstablished }
    world.run(for: .seconds(2))
    let m3 = try #require(world.sent.last { $0.kind == 6 }).bytes
    let began = world.now
    for step in 0..<100 as Range<UInt32> {
      world.now = began + .milliseconds(10 * step)
      world.bob.receive(m3, from: endpoint(step), now: world.now)
      if step % 25 == 5 { world.bob.receive(m3, from: world.alice.endpoint, now: world.now) }
    }
    #expect(world.bob.outbox.count { $0.to != world.alice.endpoint } == 4)
    #expect(world.bob.outbox.count { $0.to == world.alice.endpoint } == 4)
  }

  /// The same bytes again would be a replay, and a nonce used twice were they sealed anew.
  @Test func eachM4IsAPacketOfItsOwnUnderTheNextCounter() {
    let world = World()
    world.fate = { _, sent in
      !sent.fromAlice && sent.kind == 1 && sent.at < World.start + .milliseconds(900) ? [] : [World.latency]
    }
    world.begin()
    #expect(world.run(for: .seconds(5)) { world.isEstablished })
    let counters = world.sent.filter { !$0.fromAlice && $0.kind == 1 && $0.bytes.count == 32 }
      .map { $0.bytes.bigEndian64(at: 8) }
    #expect(counters.count >= 2 && counters.first == 0)
    #expect(zip(counters, counters.dropFirst()).allSatisfy { $0 < $1 })
    #expect(world.alice.transportDrops.isEmpty)
  }

  @Test(arguments: [true, false]) func anM1WhoseCountDoesNotFitItsFlagEndsItsHalfOpen(wantsKey: Bool) throws {
    let world = World()
    let offer = try KeyExchangeSecret().offer
    let body = M1Body(
      offer: offer, random: [UInt8](repeating: 1, count: 32), suites: [1], wantsPublicKey: wantsKey,
      receiverIndex: 9
    ).encode()
    let count = wantsKey ? 2 : 3
    for index in 0..<count {
      let datagram = M1Datagram.encode(
        body: body, index: index, count: count, initiator: 5, cookie: [UInt8](repeating: 0, count: 16),
        mac1Key: Macs.mac1Key(responder: Identities.bob.keyHash))
      world.bob.receive(datagram, from: world.alice.endpoint, now: world.now)
    }
    #expect(world.bob.jobs.isEmpty && world.bob.outbox.isEmpty)
    #expect(world.bob.drops == [.malformed] && world.bob.table.halfOpenCount == 0)
  }

  @Test func atMostSixteenTransportPacketsAreKeptBeforeTheHandshakeEnds() throws {
    let world = World()
    // M3's last fragment is lost once, so the packets come before the handshake's end.
    var lost = false
    world.fate = { _, sent in
      if sent.kind == 6, sent.bytes[3] == 6, !lost {
        lost = true
        return []
      }
      return [World.latency]
    }
    world.begin()
    world.run(for: .seconds(1)) { world.alice.session != nil }
    for number in 0..<20 as Range<UInt8> { world.alice.send([0x60, number], now: world.now) }
    #expect(world.run(for: .seconds(3)) { world.isEstablished })
    #expect(world.bob.packets == (0..<16).map { [0x60, $0] })
    #expect(world.bob.table.drops[.earlyFull] == 4)
  }

  @Test func earlyPacketsAreNotKeptForAnAddressThatIsNotValidated() throws {
    let world = World()
    world.fate = { _, sent in sent.kind == 6 ? [] : [World.latency] }
    world.begin()
    world.run(for: .seconds(1)) { world.alice.session != nil }
    world.alice.send([0x60], now: world.now)
    world.run(for: .milliseconds(100))
    #expect(world.bob.table.drops[.earlyFull] == 1)
    #expect(world.bob.table.halfOpens.values.allSatisfy { $0.early.isEmpty })
  }

  @Test func anyBytesAtAllAreDroppedWithoutHarm() {
    var generator = SplitMix64(seed: 5)
    let world = World.connected()
    for number in 0..<20_000 {
      let size = [0, 1, 12, 13, 28, 29, 31, 32, 45, 94, 450, 1_111, 1_232, 1_452].randomElement(
        using: &generator)
      var datagram = (0..<(size ?? 0)).map { _ in UInt8.random(in: 0...255, using: &generator) }
      if !datagram.isEmpty { datagram[0] = UInt8(number % 9) }
      if datagram.count > 4 {
        datagram.replaceSubrange(1...4, with: [1, UInt8(number % 3), 0, UInt8(number % 8)])
      }
      world.bob.receive(datagram, from: world.alice.endpoint, now: world.now)
      world.alice.receive(datagram, from: world.bob.endpoint, now: world.now)
    }
    #expect(world.bob.outbox.isEmpty && world.bob.packets.isEmpty)
    world.alice.send([0x60, 1], now: world.now)
    world.run(for: .milliseconds(100))
    #expect(world.bob.packets == [[0x60, 1]])
  }
}
