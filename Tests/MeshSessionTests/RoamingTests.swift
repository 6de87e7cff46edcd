import MeshWire
import Testing

@testable import MeshSession

/// A peer whose address changes (SMH1.md §9). Alice is the one who moves.
@Suite("Roaming")
struct RoamingTests {
  private static let elsewhere = Endpoint(.v4(0xcb00_7101), port: 9_000)
  private static let third = Endpoint(.v4(0xcb00_7102), port: 9_001)

  private func connected() -> World {
    let world = World.connected()
    world.run(for: .seconds(2))
    // Nothing travels but what a test hands over itself.
    world.fate = { _, _ in [] }
    world.alice.outbox = []
    world.bob.outbox = []
    return world
  }

  private func packet(_ world: World, _ bytes: [UInt8] = [0x60]) -> [UInt8] {
    world.alice.send(bytes, now: world.now)
    return world.alice.outbox.removeLast().datagram
  }

  private func hand(_ datagram: [UInt8], to node: Node, from: Endpoint, _ world: World) {
    node.receive(datagram, from: from, now: world.now)
  }

  /// What went to an address since this was last asked.
  private func taken(_ node: Node, _ endpoint: Endpoint) -> [[UInt8]] {
    defer { node.outbox.removeAll { $0.to == endpoint } }
    return node.outbox.filter { $0.to == endpoint }.map(\.datagram)
  }

  /// Lets time pass at Bob alone.
  private func wait(_ seconds: Int, _ world: World) {
    for _ in 0..<seconds {
      world.now = world.now + .seconds(1)
      world.bob.advance(to: world.now)
    }
  }

  /// Alice's answer to a challenge that reached her.
  private func answer(_ challenge: [UInt8], _ world: World) -> [UInt8]? {
    world.alice.outbox = []
    hand(challenge, to: world.alice, from: world.bob.endpoint, world)
    return world.alice.outbox.first { $0.datagram.count == 42 }?.datagram
  }

  @Test("the peer is followed once it has answered a challenge from its new address, and not before")
  func moves() throws {
    let world = connected()
    hand(packet(world), to: world.bob, from: Self.elsewhere, world)
    #expect(world.bob.packets.last == [0x60], "the packet itself is taken")
    let challenge = try #require(taken(world.bob, Self.elsewhere).first)
    #expect(challenge.count == 42)
    #expect(world.bob.peerEndpoint == world.alice.endpoint && world.bob.moves.isEmpty)
    hand(try #require(answer(challenge, world)), to: world.bob, from: Self.elsewhere, world)
    #expect(world.bob.moves == [Self.elsewhere])
    hand(packet(world), to: world.bob, from: Self.elsewhere, world)
    #expect(taken(world.bob, Self.elsewhere).filter { $0.count == 42 }.isEmpty, "nothing is asked again")
  }

  @Test("a challenge is answered to where it came from")
  func answersToSource() throws {
    let world = connected()
    hand(packet(world), to: world.bob, from: Self.elsewhere, world)
    let challenge = try #require(taken(world.bob, Self.elsewhere).first)
    hand(challenge, to: world.alice, from: Self.third, world)
    #expect(taken(world.alice, Self.third).contains { $0.count == 42 })
  }

  /// Without this charge one challenge of 42 bytes, passed on in a victim's name, draws 168.
  @Test("what answers cost is paid for by what came, like challenges")
  func answersArePaidFor() throws {
    let world = connected()
    hand(packet(world), to: world.bob, from: Self.elsewhere, world)
    let challenge = try #require(taken(world.bob, Self.elsewhere).first)
    hand(challenge, to: world.alice, from: Self.third, world)
    for _ in 0..<5 {
      world.now = world.now + .seconds(1)
      world.alice.advance(to: world.now)
    }
    let sent = taken(world.alice, Self.third).reduce(0) { $0 + $1.count }
    #expect(sent > 42 && sent <= 3 * challenge.count)
  }

  @Test("a replayed packet from a forged source moves nothing and asks nothing")
  func replay() {
    let world = connected()
    let old = packet(world)
    hand(old, to: world.bob, from: world.alice.endpoint, world)
    hand(old, to: world.bob, from: Self.elsewhere, world)
    #expect(world.bob.challengesWanted == 0 && world.bob.transportDrops == [.replayed])
  }

  @Test("a packet that was held back, and is not the newest any more, asks nothing")
  func reordered() {
    let world = connected()
    let held = packet(world)
    hand(packet(world), to: world.bob, from: world.alice.endpoint, world)
    hand(held, to: world.bob, from: Self.elsewhere, world)
    #expect(world.bob.packets.count == 2, "it is taken")
    #expect(world.bob.challengesWanted == 0)
  }

  @Test("the newest packet of keys that were replaced asks nothing once the new ones are in use")
  func oldKeys() throws {
    let world = World.connected()
    world.run(for: .seconds(124))
    #expect(world.bob.session?.generation == 1)
    // The last packet under the old keys, so that nothing but the newer keys makes it old.
    world.alice.sessions[0].sending = 0
    let held = packet(world)
    world.alice.sessions[0].sending = 1
    hand(held, to: world.bob, from: Self.elsewhere, world)
    #expect(world.bob.packets.last == [0x60])
    #expect(world.bob.challengesWanted == 0)
  }

  @Test("a forged packet from a forged source asks nothing")
  func forged() {
    let world = connected()
    var bytes = packet(world)
    bytes[20] ^= 1
    hand(bytes, to: world.bob, from: Self.elsewhere, world)
    #expect(world.bob.challengesWanted == 0 && world.bob.transportDrops == [.unauthenticated])
  }

  @Test("an answer from any address but the challenged one is refused, and counted")
  func answeredFromElsewhere() throws {
    for source in [Self.third, nil] {
      let world = connected()
      hand(packet(world), to: world.bob, from: Self.elsewhere, world)
      let challenge = try #require(taken(world.bob, Self.elsewhere).first)
      let reply = try #require(answer(challenge, world))
      hand(reply, to: world.bob, from: source ?? world.alice.endpoint, world)
      #expect(world.bob.moves.isEmpty && world.bob.session?.drops[.challengeRefused] == 1)
    }
  }

  @Test("an answer with other bytes, of another size, or to no challenge is refused, and counted")
  func wrongAnswers() throws {
    for message in [[0x33] + [UInt8](repeating: 9, count: 8), [0x33, 1, 1, 1, 1, 1, 1, 1], [0x33]] {
      let world = connected()
      hand(packet(world), to: world.bob, from: Self.elsewhere, world)
      world.alice.send(control: message, now: world.now)
      hand(world.alice.outbox.removeLast().datagram, to: world.bob, from: Self.elsewhere, world)
      #expect(world.bob.moves.isEmpty && world.bob.session?.drops[.challengeRefused] == 1)
    }
    let world = connected()
    world.alice.send(control: [0x33] + [UInt8](repeating: 1, count: 8), now: world.now)
    hand(world.alice.outbox.removeLast().datagram, to: world.bob, from: world.alice.endpoint, world)
    #expect(world.bob.session?.drops[.challengeRefused] == 1)
  }

  @Test("a challenge of another size is refused, and counted", arguments: [0, 7, 9, 400])
  func wrongChallenges(size: Int) {
    let world = connected()
    world.bob.send(control: [0x32] + [UInt8](repeating: 1, count: size), now: world.now)
    hand(world.bob.outbox.removeLast().datagram, to: world.alice, from: world.bob.endpoint, world)
    #expect(world.alice.session?.drops[.challengeRefused] == 1 && world.alice.outbox.isEmpty)
  }

  /// 32 bytes, which pay for two challenges.
  private func keepalive(_ world: World) -> [UInt8] {
    var actions: [SessionAction] = []
    world.alice.sessions[0].confirm(now: world.now, into: &actions)
    guard case .send(let keepalive) = actions[0] else { return [] }
    return keepalive
  }

  @Test("no more than three times what came from there is sent to an address that is not validated")
  func amplification() {
    let world = connected()
    let keepalive = keepalive(world)
    hand(keepalive, to: world.bob, from: Self.elsewhere, world)
    wait(5, world)
    let bytes = taken(world.bob, Self.elsewhere).reduce(0) { $0 + $1.count }
    #expect(keepalive.count == 32 && bytes == 84)
    #expect(world.bob.session?.drops[.challengeWithheld] == 1)
  }

  @Test("what comes from there later pays for more, and asks no new question")
  func laterPacketsPay() {
    let world = connected()
    for _ in 0..<2 {
      hand(keepalive(world), to: world.bob, from: Self.elsewhere, world)
      wait(1, world)
    }
    wait(5, world)
    #expect(taken(world.bob, Self.elsewhere).count == 3 && world.bob.challengesWanted == 1)
    #expect(world.bob.transportDrops.isEmpty)
  }

  @Test("what comes from anywhere else pays for nothing")
  func othersDoNotPay() {
    let world = connected()
    let held = packet(world, [UInt8](repeating: 0x60, count: 200))
    hand(keepalive(world), to: world.bob, from: Self.elsewhere, world)
    hand(held, to: world.bob, from: Self.third, world)
    wait(5, world)
    #expect(world.bob.packets.count == 1, "it is taken, though it comes late")
    #expect(taken(world.bob, Self.elsewhere).count == 2)
  }

  @Test("a challenge is sent three times and no more")
  func threeTimes() {
    let world = connected()
    hand(packet(world, [UInt8](repeating: 0x60, count: 200)), to: world.bob, from: Self.elsewhere, world)
    wait(30, world)
    let challenges = taken(world.bob, Self.elsewhere)
    #expect(challenges.count == 3 && Set(challenges).count == 3, "sealed anew each time")
    #expect(world.bob.peerEndpoint == world.alice.endpoint)
  }

  @Test("a challenge that was lost twice is answered at the third time")
  func lostTwice() throws {
    let world = connected()
    hand(packet(world, [UInt8](repeating: 0x60, count: 200)), to: world.bob, from: Self.elsewhere, world)
    wait(2, world)
    let last = try #require(taken(world.bob, Self.elsewhere).last)
    hand(try #require(answer(last, world)), to: world.bob, from: Self.elsewhere, world)
    #expect(world.bob.moves == [Self.elsewhere])
  }

  @Test("packets passed on from a hundred addresses make a challenge a second, and no more")
  func rateLimit() {
    let world = connected()
    for number in 0..<100 {
      hand(packet(world), to: world.bob, from: Endpoint(.v4(0xcb00_7200 + UInt32(number)), port: 1), world)
    }
    #expect(world.bob.challengesWanted == 1)
    #expect(world.bob.outbox.count { $0.datagram.count == 42 } == 1)
    #expect(world.bob.session?.drops[.challengeTooSoon] == 99)
    world.now = world.now + .seconds(1)
    hand(packet(world), to: world.bob, from: Self.third, world)
    #expect(taken(world.bob, Self.third).count == 1, "the newest is asked next")
  }

  @Test("a newer packet from the known address ends the challenge: the answer to it moves nothing")
  func returns() throws {
    let world = connected()
    hand(packet(world), to: world.bob, from: Self.elsewhere, world)
    let challenge = try #require(taken(world.bob, Self.elsewhere).first)
    hand(packet(world), to: world.bob, from: world.alice.endpoint, world)
    hand(try #require(answer(challenge, world)), to: world.bob, from: Self.elsewhere, world)
    #expect(world.bob.moves.isEmpty)
  }

  @Test("who passed packets on as a relay loses the session at the peer's next packet from its own address")
  func relayed() throws {
    let world = connected()
    hand(packet(world), to: world.bob, from: Self.elsewhere, world)
    let challenge = try #require(taken(world.bob, Self.elsewhere).first)
    hand(try #require(answer(challenge, world)), to: world.bob, from: Self.elsewhere, world)
    #expect(world.bob.peerEndpoint == Self.elsewhere)
    world.now = world.now + .seconds(1)
    hand(packet(world), to: world.bob, from: world.alice.endpoint, world)
    let again = try #require(taken(world.bob, world.alice.endpoint).first { $0.count == 42 })
    hand(try #require(answer(again, world)), to: world.bob, from: world.alice.endpoint, world)
    #expect(world.bob.peerEndpoint == world.alice.endpoint)
  }

  @Test("after a move both ends send datagrams that every path carries, and try larger ones anew")
  func pathPayload() throws {
    let world = connected()
    #expect(world.bob.session?.pathPayload == 1_452 && world.alice.session?.pathPayload == 1_452)
    hand(packet(world), to: world.bob, from: Self.elsewhere, world)
    let challenge = try #require(taken(world.bob, Self.elsewhere).first)
    hand(try #require(answer(challenge, world)), to: world.bob, from: Self.elsewhere, world)
    for node in [world.alice, world.bob] {
      #expect(node.session?.pathPayload == 1_232 && node.session?.isPathDecided == false)
      node.advance(to: world.now)
      #expect(node.outbox.contains { $0.datagram.count == 1_452 })
    }
  }

  @Test("a challenge is answered and believed while the keys are being changed")
  func duringRekey() throws {
    let world = connected()
    hand(packet(world), to: world.bob, from: Self.elsewhere, world)
    let challenge = try #require(taken(world.bob, Self.elsewhere).first)
    let reply = try #require(answer(challenge, world))
    // The answer was sealed under the old keys; Bob has new ones by the time that it comes.
    world.fate = { _, _ in [World.latency] }
    world.alice.outbox = []
    world.bob.outbox = []
    var actions: [SessionAction] = []
    world.alice.sessions[0].startRekey(world.now, &actions)
    world.alice.handle(actions, 0, world.now)
    for _ in 0..<4 {
      for (datagram, _) in world.alice.outbox.drain() {
        hand(datagram, to: world.bob, from: Self.elsewhere, world)
      }
      for (datagram, _) in world.bob.outbox.drain() {
        hand(datagram, to: world.alice, from: world.bob.endpoint, world)
      }
    }
    #expect(world.bob.session?.generation == 1 && world.alice.session?.generation == 1)
    hand(reply, to: world.bob, from: Self.elsewhere, world)
    #expect(world.bob.moves == [Self.elsewhere])
  }

  /// Bob asked for the keys, so Alice, who has moved meanwhile, may never hear a packet under them.
  @Test("who moves before it hears that new keys are in use is followed all the same")
  func movesBeforeNewKeys() throws {
    let world = World.connected()
    world.run(for: .seconds(2))
    world.fate = { _, sent in
      !sent.fromAlice && world.bob.session?.generation == 1 ? [] : [World.latency]
    }
    var actions: [SessionAction] = []
    world.bob.sessions[0].startRekey(world.now, &actions)
    world.bob.handle(actions, 0, world.now)
    world.run(for: .seconds(15))
    #expect(world.bob.session?.generation == 1 && world.alice.session?.generation == 0)
    world.bob.outbox = []
    hand(packet(world), to: world.bob, from: Self.elsewhere, world)
    #expect(world.bob.packets.last == [0x60])
    let challenge = try #require(taken(world.bob, Self.elsewhere).first)
    hand(try #require(answer(challenge, world)), to: world.bob, from: Self.elsewhere, world)
    #expect(world.bob.moves == [Self.elsewhere] && world.alice.session?.generation == 1)
  }

  @Test("a superseded session neither challenges nor answers: it sends nothing")
  func superseded() throws {
    let world = connected()
    hand(packet(world), to: world.bob, from: Self.elsewhere, world)
    let challenge = try #require(taken(world.bob, Self.elsewhere).first)
    let late = packet(world)
    world.bob.sessions[0].supersede(now: world.now)
    wait(3, world)
    hand(late, to: world.bob, from: Self.third, world)
    #expect(world.bob.packets.count == 2 && world.bob.challengesWanted == 1)
    #expect(taken(world.bob, Self.elsewhere).isEmpty && taken(world.bob, Self.third).isEmpty)
    world.alice.sessions[0].supersede(now: world.now)
    #expect(answer(challenge, world) == nil)
  }

  @Test("a session that was superseded while the bytes were drawn asks nothing")
  func supersededMeanwhile() {
    var session = connected().bob.sessions[0]
    session.supersede(now: World.start)
    var actions: [SessionAction] = []
    session.challenge(
      Self.elsewhere, bytes: [UInt8](repeating: 1, count: 8), received: 100, now: World.start, into: &actions)
    #expect(actions.isEmpty && session.roaming.candidate == nil)
  }

  @Test("challenges are no keepalive of the path in use, and ask for no sign of life")
  func notCounted() {
    let world = connected()
    let before = (world.bob.session?.lastSent, world.bob.session?.unansweredSince)
    hand(packet(world), to: world.bob, from: Self.elsewhere, world)
    #expect(world.bob.session?.lastSent == before.0 && world.bob.session?.unansweredSince == nil)
  }
}

extension Array {
  fileprivate mutating func drain() -> [Element] {
    defer { removeAll() }
    return self
  }
}
