import MeshCrypto
import MeshNode
import MeshPaths
import MeshWire
import Testing

@Suite("How far relays are")
struct RelayProbeTests {
  /// What one host counted.
  private func counters(_ world: RelayInternet, _ host: Int) -> NodeCounters {
    world.net.hosts[host].node.status(now: world.net.now).counters
  }

  /// Gives `a` the relays' records, and lets it choose.
  private func choose(_ world: inout RelayInternet, for duration: Duration = .seconds(3)) throws {
    let records = try world.relays.map { try world.relayRecord($0) }
    world.net.hosts[world.a].node.setRelays(records, now: world.net.now)
    world.net.settle(world.a)
    world.net.run(duration)
  }

  @Test("places are taken at the nearest relays, before any of them was used", arguments: 0..<4)
  func nearest(near: Int) throws {
    var world = try RelayInternet(relays: 4, hops: 1)
    let ends = [near, (near + 1) % 4].map { world.net.hosts[world.relays[$0]].endpoint }
    world.net.delay = { from, to in
      .milliseconds(ends.contains(from) || ends.contains(to) ? 5 : 120)
    }
    try choose(&world)
    let expected = Set([near, (near + 1) % 4].map { world.net.hosts[world.relays[$0]].identity.keyHash })
    #expect(Set(world.reservations(world.a).map(\.relay)) == expected)
    #expect(counters(world, world.a).relayProbesSent == 4)
    #expect(counters(world, world.a).relayProbesAnswered == 4)
  }

  @Test("relays that answer no question are used all the same")
  func silent() throws {
    var world = try RelayInternet(relays: 2, hops: 1)
    world.net.wire = { datagram, _, _ in
      datagram.count > 8 && Array(datagram[4..<8]) == [0x21, 0x12, 0xa4, 0x42] ? [] : [datagram]
    }
    try choose(&world)
    #expect(world.reservations(world.a).count == 2)
    #expect(counters(world, world.a).relayProbesAnswered == 0)
  }

  @Test("an answer of another address, or one that comes twice, measures nothing")
  func forged() throws {
    var world = try RelayInternet(relays: 1, hops: 1)
    let relay = world.net.hosts[world.relays[0]].endpoint
    var answers: [[UInt8]] = []
    world.net.wire = { datagram, from, _ in
      guard from == relay, datagram[0] == 1, datagram[1] == 1 else { return [datagram] }
      answers.append(datagram)
      return []
    }
    try choose(&world, for: .milliseconds(100))
    let answer = try #require(answers.first)
    let other = Endpoint(.v4(0xcb00_7101), port: 8_443)
    #expect(world.net.hand(answer, to: world.a, from: other) == .dropped(.stunUnexpected))
    #expect(counters(world, world.a).relayProbesAnswered == 0)
    #expect(world.net.hand(answer, to: world.a, from: relay) == .consumed)
    #expect(world.net.hand(answer, to: world.a, from: relay) == .dropped(.stunUnexpected))
    #expect(counters(world, world.a).relayProbesAnswered == 1)
  }

  @Test("an answer that is late measures nothing")
  func late() throws {
    var world = try RelayInternet(relays: 1, hops: 1)
    let relay = world.net.hosts[world.relays[0]].endpoint
    world.net.delay = { from, _ in from == relay ? .seconds(4) : .milliseconds(1) }
    try choose(&world, for: .seconds(6))
    #expect(counters(world, world.a).relayProbesSent == 1)
    #expect(counters(world, world.a).relayProbesAnswered == 0)
  }

  @Test("relays say where they see a node whose server is silent, as soon as they are known")
  func serverIsSilent() throws {
    var world = try RelayInternet(relays: 3, hops: 1)
    let own = world.net.hosts[world.a].endpoint
    world.net.hosts[world.a].node.addressesChanged([AnnouncedEndpoint(.interface, own)], now: world.net.now)
    world.net.hosts[world.a].node.setSTUNServers([Endpoint("198.18.99.1:3478")!], now: world.net.now)
    world.net.run(.seconds(8))
    #expect(world.net.hosts[world.a].node.status(now: world.net.now).nat?.hasUDP == false)
    try choose(&world, for: .seconds(10))
    let found = try #require(world.net.hosts[world.a].node.status(now: world.net.now).nat)
    #expect(found.hasUDP)
    #expect(found.v4?.reflexive == own)
    #expect(found.v4?.asked == 4 && found.v4?.answered == 3)
  }

  /// A STUN question, of nobody's session.
  private static func isQuestion(_ datagram: [UInt8]) -> Bool {
    datagram.count >= 20 && datagram[0] == 0 && Array(datagram[4..<8]) == [0x21, 0x12, 0xa4, 0x42]
  }

  @Test("no more than sixteen are asked in a minute, whatever lists come, and none of them twice in ten")
  func bounded() throws {
    var world = try RelayInternet(relays: 20, hops: 1)
    var asked: [Endpoint: Int] = [:]
    world.net.wire = { datagram, _, to in
      if Self.isQuestion(datagram) { asked[to, default: 0] += 1 }
      return []
    }
    try choose(&world)
    #expect(counters(world, world.a).relayProbesSent == 16)
    #expect(counters(world, world.a).relayProbesHeld == 4)
    try choose(&world)
    #expect(counters(world, world.a).relayProbesSent == 16)
    #expect(counters(world, world.a).relayProbesHeld == 8)
    world.net.run(.seconds(60))
    try choose(&world)
    #expect(asked.count >= 16)
    #expect(asked.values.allSatisfy { $0 == 1 })
  }

  @Test("who has answered is measured anew after an hour, unless a place is kept there")
  func again() throws {
    var world = try RelayInternet(relays: 4, hops: 1)
    try choose(&world)
    #expect(world.reservations(world.a).count == 2)
    world.net.run(.seconds(3_000))
    try choose(&world)
    #expect(counters(world, world.a).relayProbesSent == 4)
    world.net.run(.seconds(700))
    try choose(&world)
    #expect(counters(world, world.a).relayProbesSent == 6)
    #expect(counters(world, world.a).relayProbesAnswered == 6)
  }

  @Test("privacy: a relay that was found on the way to a peer is asked nothing")
  func onlyTheList() throws {
    var world = try RelayInternet(relays: 4, hops: 2)
    let records = try world.relays.map { try world.relayRecord($0) }
    let (mine, theirs) = (Array(records[..<2]), Array(records[2...]))
    world.net.backbone = .records(Dictionary(uniqueKeysWithValues: records.map { ($0.peerID, $0.bundle) }))
    let own = world.net.hosts[world.a].endpoint
    var asked: [Endpoint] = []
    let wire = world.net.wire
    world.net.wire = { datagram, from, to in
      if from == own, Self.isQuestion(datagram) { asked.append(to) }
      return wire(datagram, from, to)
    }
    for (host, list) in [(world.a, mine), (world.b, theirs)] {
      world.net.hosts[host].node.setRelays(list, now: world.net.now)
      world.net.settle(host)
    }
    world.net.run(.seconds(2))
    try world.publish(world.a, admitting: world.b)
    try world.publish(world.b, admitting: world.a)
    try world.net.pair(world.a, world.b)
    world.net.transmit(world.packet(from: world.a, to: world.b), from: world.a)
    world.net.run(.seconds(10))
    #expect(world.net.hosts[world.b].delivered.count == 1)
    let used = world.net.hosts[world.a].node.circuitRelays
    #expect(theirs.contains { used.contains($0.keyHash) })
    world.net.run(.seconds(700))
    world.net.hosts[world.a].node.setRelays(mine, now: world.net.now)
    world.net.settle(world.a)
    world.net.run(.seconds(10))
    let listed = world.relays[..<2].map { world.net.hosts[$0].endpoint }
    #expect(Set(asked) == Set(listed))
  }

  @Test("privacy: while a chain of several is being built nobody is asked")
  func quietWhileBuilding() throws {
    var world = try RelayInternet(relays: 5, hops: 3)
    let relays = world.relays
    world.relays = Array(relays[..<2])
    try world.begin()
    #expect(counters(world, world.a).relayProbesSent == 2)
    world.net.transmit(world.packet(from: world.a, to: world.b), from: world.a)
    world.net.run(.seconds(5))
    world.relays = relays
    world.net.transmit(world.packet(from: world.a, to: world.b), from: world.a)
    let records = try relays.map { try world.relayRecord($0) }
    world.net.hosts[world.a].node.setRelays(records, now: world.net.now)
    world.net.settle(world.a)
    #expect(counters(world, world.a).relayProbesSent == 2)
    #expect(counters(world, world.a).relayProbesHeld == 3)
    world.net.run(.seconds(15))
    #expect(!world.net.hosts[world.b].delivered.isEmpty)
    try choose(&world)
    #expect(counters(world, world.a).relayProbesSent == 5)
  }

  @Test("the nearest relay, which answers and drops all cells, is no longer where chains begin")
  func hostileEntry() throws {
    var world = try RelayInternet(relays: 6, hops: 2)
    let hostile = world.relays[2]
    let near = world.net.hosts[hostile].endpoint
    let key = world.net.hosts[hostile].identity.keyHash
    let (a, b) = (world.net.hosts[world.a].endpoint, world.net.hosts[world.b].endpoint)
    world.net.delay = { from, to in
      let ends = [from, to]
      guard ends.contains(near) else { return .milliseconds(40) }
      return ends.contains(a) ? .milliseconds(1) : ends.contains(b) ? .milliseconds(100) : .milliseconds(40)
    }
    let wire = world.net.wire
    world.net.wire = { datagram, from, to in
      // Whole or in two pieces; what proves that it is there passes.
      let isCell = datagram[0] == 1 && ((600...1_000).contains(datagram.count) || datagram.count > 1_300)
      return isCell && (from == near || to == near) ? [] : wire(datagram, from, to)
    }
    try world.begin()
    #expect(world.reservations(world.a).contains { $0.relay == key })
    world.net.transmit(world.packet(from: world.a, to: world.b), from: world.a)
    world.net.run(.seconds(30))
    #expect(world.net.hosts[world.b].delivered.count == 1)
    world.net.run(.seconds(30))
    let entries = world.net.hosts[world.a].events.compactMap { event in
      if case .entryRelayChanged(let entry) = event { entry } else { nil }
    }
    #expect(entries.first == key)
    #expect(entries.last != key)
    #expect(counters(world, world.a).entriesSuspected > 0)
  }

  @Test("too few relays are told of at once, then seldom")
  func shortage() throws {
    var world = try RelayInternet(relays: 1, hops: 1)
    try choose(&world)
    func told() -> Int {
      world.net.hosts[world.a].events.count { if case .relaysWanted = $0 { true } else { false } }
    }
    #expect(told() == 1, "two places are wanted, and there is one relay")
    world.net.run(.seconds(1_800))
    // After 60, 120, 240, 480 and 600 s, within the 15 s from one look to the next.
    #expect((4...6).contains(told()))
    #expect(counters(world, world.a).relaysWanted == UInt64(told()))
  }

  @Test("where there are enough relays nothing is told")
  func enough() throws {
    var world = try RelayInternet(relays: 3, hops: 2)
    try world.begin()
    world.net.transmit(world.packet(from: world.a, to: world.b), from: world.a)
    world.net.run(.seconds(60))
    #expect(counters(world, world.a).relaysWanted == 0)
  }

  @Test("a chain that can't be built for want of relays asks for more")
  func chainTooLong() throws {
    var world = try RelayInternet(relays: 2, hops: 3)
    try world.begin()
    #expect(counters(world, world.a).relaysWanted == 0)
    world.net.transmit(world.packet(from: world.a, to: world.b), from: world.a)
    world.net.run(.seconds(10))
    #expect(counters(world, world.a).relaysWanted == 1)
  }

  @Test("the entry that was saved is looked up when no list names it, and chains begin there")
  func savedEntry() throws {
    var world = try RelayInternet(relays: 5, hops: 2)
    let saved = try world.relayRecord(world.relays[4])
    world.net.backbone = .records([saved.peerID: saved.bundle])
    world.relays.removeLast()
    world.net.hosts[world.a].node.setEntryRelay(saved.keyHash)
    try world.begin()
    world.net.transmit(world.packet(from: world.a, to: world.b), from: world.a)
    world.net.run(.seconds(10))
    #expect(world.net.hosts[world.b].delivered.count == 1)
    #expect(world.net.hosts[world.a].node.circuitRelays.contains(saved.keyHash))
  }
}
