import MeshCrypto
import MeshRelay
import MeshWire
import Testing

@testable import MeshNode

@Suite("Chains of relays")
struct RelayChainTests {
  @Test("two nodes that can't reach each other talk through relays", arguments: [1, 2, 3])
  func chain(hops: Int) throws {
    var world = try RelayInternet(relays: 4, hops: hops)
    let (a, b) = (world.a, world.b)
    try world.begin()
    #expect(world.reservations(a).count == 2)
    #expect(world.reservations(b).count == 2)
    let packet = world.packet(from: a, to: b)
    world.net.transmit(packet, from: a)
    world.net.run(.seconds(5))
    #expect(world.net.hosts[b].delivered.count == 1)
    #expect(world.net.hosts[b].delivered.first == packet, "there")
    let back = world.packet(from: b, to: a, size: 1_200)
    world.net.transmit(back, from: b)
    world.net.run(.seconds(1))
    #expect(world.net.hosts[a].delivered.count == 1)
    for (host, other) in [(a, b), (b, a)] {
      let path = try #require(world.net.state(of: other, at: host)?.path)
      #expect(path.kind == .relayed)
      #expect(path.hops == hops)
    }
  }

  /// Connected through one relay; which one that is.
  private func connected() throws -> (world: RelayInternet, relay: Int) {
    let (world, relays) = try connected(hops: 1)
    return (world, try #require(relays.first))
  }

  /// Connected through so many relays of four; which ones carry.
  private func connected(hops: Int) throws -> (world: RelayInternet, relays: [Int]) {
    var world = try RelayInternet(relays: 4, hops: hops)
    try world.begin()
    world.net.transmit(world.packet(from: world.a, to: world.b), from: world.a)
    world.net.run(.seconds(5))
    #expect(world.net.hosts[world.b].delivered.count == 1)
    let relays = world.relays.filter {
      (world.net.hosts[$0].node.relayCounters?.cellsForward ?? 0) > 3
    }
    return (world, relays)
  }

  /// Packets both ways each 100 ms; the longest time in which one of the ends got none.
  private func longestSilence(_ world: inout RelayInternet, for time: Duration) -> Duration {
    let ends = [world.a, world.b]
    var heard = ends.map { _ in world.net.now }
    var longest = Duration.zero
    for _ in 0..<Int(time / .milliseconds(100)) {
      let before = ends.map { world.net.hosts[$0].delivered.count }
      world.net.transmit(world.packet(from: world.a, to: world.b), from: world.a)
      world.net.transmit(world.packet(from: world.b, to: world.a), from: world.b)
      world.net.run(.milliseconds(100))
      for end in 0..<2 {
        longest = max(longest, world.net.now - heard[end])
        if world.net.hosts[ends[end]].delivered.count > before[end] { heard[end] = world.net.now }
      }
    }
    return longest
  }

  /// What is found out by asking every few seconds is so at any moment in between; small packets pass all the
  /// time, and cells are large whatever is in them.
  @Test(
    "a link that begins to lose large datagrams holds a chain up for less than 3 s", arguments: [1, 3],
    [0, 2, 4])
  func shrinkingLink(hops: Int, later: Int) throws {
    var (world, _) = try connected(hops: hops)
    #expect(longestSilence(&world, for: .seconds(2 + later)) < .seconds(1))
    let (end, wire) = (world.net.hosts[world.a].endpoint, world.net.wire)
    // An underlay of 1,280 bytes that says nothing.
    world.net.wire = { datagram, from, to in
      datagram.count > 1_252 && (from == end || to == end) ? [] : wire(datagram, from, to)
    }
    let longest = longestSilence(&world, for: .seconds(15))
    #expect(longest < .seconds(3), "silent for \(longest)")
  }

  /// Sends a packet each 100 ms and says after how many of them the first arrived.
  private func firstArrival(_ world: inout RelayInternet, within packets: Int) -> Int? {
    let before = world.net.hosts[world.b].delivered.count
    for number in 1...packets {
      world.net.transmit(world.packet(from: world.a, to: world.b), from: world.a)
      world.net.run(.milliseconds(100))
      if world.net.hosts[world.b].delivered.count > before { return number }
    }
    return nil
  }

  @Test("when the owners choose another number of relays for a peer, the chain is built anew")
  func otherHopsForAPeer() throws {
    var (world, _) = try connected(hops: 1)
    let before = world.net.hosts[world.a].node.sessionHash(with: world.net.peerID(world.b))
    for (host, other) in [(world.a, world.b), (world.b, world.a)] {
      let key = world.net.hosts[other].identity.keyHash
      let entry = PeerEntry(
        peerID: key.peerID, keyHash: key, inbound: InboundPermission(allowsAll: true),
        endpoints: [world.net.hosts[other].endpoint], relayHops: 3)
      try world.net.hosts[host].node.addPeer(entry, now: world.net.now)
      world.net.settle(host)
    }
    #expect(firstArrival(&world, within: 50) != nil)
    world.net.run(.seconds(5))
    for (host, other) in [(world.a, world.b), (world.b, world.a)] {
      #expect(world.net.state(of: other, at: host)?.path?.hops == 3)
    }
    #expect(world.net.hosts[world.a].node.sessionHash(with: world.net.peerID(world.b)) == before)
  }

  @Test("when a relay dies, another carries within 5 s, and the session goes on")
  func deadRelay() throws {
    var (world, dead) = try connected()
    let endpoint = world.net.hosts[dead].endpoint
    let wire = world.net.wire
    world.net.wire = { datagram, from, to in
      from == endpoint || to == endpoint ? [] : wire(datagram, from, to)
    }
    let hash = world.net.hosts[world.a].node.sessionHash(with: world.net.peerID(world.b))
    let arrival = firstArrival(&world, within: 50)
    #expect(arrival != nil)
    #expect(world.net.hosts[world.a].node.sessionHash(with: world.net.peerID(world.b)) == hash)
    // Its place there is given up for one at a relay that lives.
    world.net.run(.seconds(120))
    let lost = world.net.hosts[dead].identity.keyHash
    #expect(world.reservations(world.b).count == 2)
    #expect(!world.reservations(world.b).contains { $0.relay == lost })
  }

  @Test(
    "the last datagrams that went into the silence of a dead relay go again by the next path, and no more")
  func repeatsWhatWasLost() throws {
    var (world, dead) = try connected()
    let endpoint = world.net.hosts[dead].endpoint
    let wire = world.net.wire
    world.net.wire = { datagram, from, to in
      from == endpoint || to == endpoint ? [] : wire(datagram, from, to)
    }
    world.net.transmit(world.packet(from: world.a, to: world.b), from: world.a)
    world.net.run(.milliseconds(800))
    world.net.hosts[world.b].delivered = []
    let ends = [world.a, world.b].map { Packet.address(world.net.peerID($0)) }
    let packets = (0..<40).map { Packet.udp(from: ends[0], to: ends[1], source: $0, size: 100) }
    for packet in packets { world.net.transmit(packet, from: world.a) }
    #expect(world.net.hosts[world.b].delivered.isEmpty)
    world.net.run(.seconds(5))
    let arrived = world.net.hosts[world.b].delivered.map { packet in packets.firstIndex(of: packet) }
    #expect(arrived == Array(8..<40))
    let counters = world.net.hosts[world.a].node.status(now: world.net.now).counters
    #expect(counters.datagramsRepeated == 32 && counters.repeatsForgone == 8)
  }

  @Test(
    "whichever relay of a chain dies, one without it carries within 5 s, though hardly others are known",
    arguments: [2, 3], 0..<3)
  func deadRelayOfChain(hops: Int, position: Int) throws {
    var (world, relays) = try connected(hops: hops)
    guard position < relays.count else { return }
    let endpoint = world.net.hosts[relays[position]].endpoint
    let wire = world.net.wire
    world.net.wire = { datagram, from, to in
      from == endpoint || to == endpoint ? [] : wire(datagram, from, to)
    }
    let entry = entryChanges(world).last
    let changes = entryChanges(world).count
    let arrival = firstArrival(&world, within: 50)
    #expect(arrival != nil)
    // Who stops other relays shall not choose the one that we begin at.
    if entry != world.net.hosts[relays[position]].identity.keyHash {
      #expect(entryChanges(world).count == changes)
    }
  }

  private func entryChanges(_ world: RelayInternet) -> [KeyHash?] {
    world.net.hosts[world.a].events.compactMap { event in
      if case .entryRelayChanged(let entry) = event { .some(entry) } else { nil }
    }
  }

  @Test("a session that begins through a relay leaves packets on a direct path that carried some just before")
  func directPathStays() throws {
    var world = try RelayInternet(relays: 4, hops: 1)
    world.net.wire = { datagram, _, _ in [datagram] }
    try world.begin()
    let (a, b) = (world.a, world.b)
    let peerAtA = world.net.peerID(b)
    for _ in 0..<20 {
      world.net.transmit(world.packet(from: a, to: b), from: a)
      world.net.transmit(world.packet(from: b, to: a), from: b)
      world.net.run(.milliseconds(100))
    }
    try #require(world.net.state(of: b, at: a)?.path?.kind == .direct)
    let before = world.net.hosts[a].node.sessionHash(with: peerAtA)
    // The other end begins anew, and its first message comes through relays only.
    let (from, to) = (world.net.hosts[b].endpoint, world.net.hosts[a].endpoint)
    world.net.wire = { datagram, source, target in
      source == from && target == to && datagram[0] == 2 ? [] : [datagram]
    }
    _ = world.net.hosts[b].node.resetPeer(world.net.peerID(a), now: world.net.now)
    world.net.settle(b)
    for _ in 0..<500 where world.net.hosts[a].node.sessionHash(with: peerAtA) == before {
      world.net.run(.milliseconds(1))
    }
    #expect(world.net.hosts[a].node.sessionHash(with: peerAtA) != before)
    #expect(world.net.state(of: b, at: a)?.path?.kind == .direct)
  }

  @Test("a relay that was started anew is used again, under its new key")
  func restartedRelay() throws {
    var (world, relay) = try connected()
    var configuration = NodeConfiguration(region: world.net.region, serviceType: .lightPublic)
    configuration.relayOffer = 100
    world.net.hosts[relay].node = MeshNode(
      configuration: configuration, publicKey: world.net.hosts[relay].identity.publicKey,
      randomSeed: Primitives.sha256([99]), now: world.net.now, wall: world.net.wall)
    world.net.settle(relay)
    let arrival = firstArrival(&world, within: 50)
    #expect(arrival != nil)
  }

  @Test("what is altered or repeated between a relay and the ends is refused there")
  func hostileLinks() throws {
    var (world, relay) = try connected()
    let delivered = world.net.hosts[world.b].delivered.count
    let from = world.net.hosts[relay].endpoint
    let (a, b) = (world.net.hosts[world.a].endpoint, world.net.hosts[world.b].endpoint)
    let wire = world.net.wire
    var number = 0
    // Cells between it and the ends: each comes twice, and each third one changed.
    world.net.wire = { datagram, source, to in
      let passed = wire(datagram, source, to)
      guard source == from, to == a || to == b, datagram[0] == 1, datagram.count > 1_000 else {
        return passed
      }
      number += 1
      guard number % 3 == 0 else { return passed + passed }
      return passed.map { bytes in
        var changed = bytes
        changed[600] ^= 1
        return changed
      }
    }
    for _ in 0..<30 {
      world.net.transmit(world.packet(from: world.a, to: world.b), from: world.a)
      world.net.run(.milliseconds(20))
    }
    world.net.run(.seconds(1))
    let arrived = world.net.hosts[world.b].delivered
    #expect(arrived.count > delivered && arrived.count <= delivered + 30)
    let expected = world.packet(from: world.a, to: world.b)
    #expect(arrived.allSatisfy { $0 == expected })
    #expect(world.net.drops(world.b, .replayed) > 0)
    #expect(world.net.drops(world.b, .badTag) > 0)
  }

  @Test("a node without an offer relays nothing, and one for peers only serves only them")
  func admission() throws {
    var world = try RelayInternet(relays: 0, hops: 1)
    let relay = try world.net.addHost(.lightPublic, relayOffer: 100) { $0.relayAdmission = .peers }
    let none = try world.net.addHost(.lightPublic)
    world.net.settle(none)
    #expect(world.net.hosts[none].node.relayCounters == nil)
    world.net.hosts[world.a].node.setRelays([try world.relayRecord(relay)], now: world.net.now)
    world.net.settle(world.a)
    world.net.run(.seconds(3))
    #expect(world.reservations(world.a).isEmpty)
    #expect(world.net.drops(relay, .relayRefused) > 0)
    try world.net.pair(relay, world.a)
    world.net.run(.seconds(60))
    #expect(world.reservations(world.a).count == 1)
  }

  @Test("places are renewed before their end, under the same id")
  func renewal() throws {
    var world = try RelayInternet(relays: 2, hops: 1)
    try world.begin()
    let places = world.reservations(world.b)
    #expect(places.count == 2)
    for _ in 0..<3 { world.net.run(.seconds(1_700)) }
    #expect(world.reservations(world.b) == places)
  }

  @Test("a peer that is reset is reached through relays again, and one that is removed leaves no circuit")
  func reset() throws {
    var (world, _) = try connected()
    for (host, other) in [(world.a, world.b), (world.b, world.a)] {
      _ = world.net.hosts[host].node.resetPeer(world.net.peerID(other), now: world.net.now)
      world.net.settle(host)
    }
    let arrival = firstArrival(&world, within: 100)
    #expect(arrival != nil)
    for (host, other) in [(world.a, world.b), (world.b, world.a)] {
      _ = world.net.hosts[host].node.removePeer(world.net.peerID(other), now: world.net.now)
      world.net.settle(host)
    }
    world.net.run(.seconds(1))
    #expect(world.relays.allSatisfy { world.net.hosts[$0].node.relayedCircuits == 0 })
  }
}
