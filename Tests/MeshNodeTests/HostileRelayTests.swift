import MeshCrypto
import MeshWire
import Testing

@testable import MeshNode
@testable import MeshRelay

/// Whole nodes, and a relay between them that has all keys that a relay has.
@Suite("Relays that turn hostile once a circuit stands")
struct HostileRelayNodeTests {
  /// Two nodes that talk through relays, one of which is hostile from now on.
  private struct Attack {
    var world: RelayInternet
    let hostile: Int
    /// The end that built the circuit in use, and the one that it was built to.
    let (builder, other): (Int, Int)
    let relay: HostileRelay
    let session: [UInt8]?
    /// Packets by sender, in order.
    var sent: [Int: [[UInt8]]] = [:]
    private var number: UInt16 = 0

    /// - Parameter position: which relay of the chain, counted from whoever built it; by default the last.
    init(_ conduct: HostileRelay.Conduct, hops: Int, relays: Int = 6, position: Int? = nil) throws {
      var world = try RelayInternet(relays: relays, hops: hops)
      try world.begin()
      let (a, b) = (world.a, world.b)
      world.net.transmit(world.packet(from: a, to: b), from: a)
      world.net.run(.seconds(5))
      try #require(world.net.hosts[b].delivered.count == 1)
      let (path, isOfA) = try #require(Self.path(world))
      try #require(path.count == hops)
      (builder, other) = isOfA ? (a, b) : (b, a)
      let key = path[position ?? hops - 1]
      let hostile = world.relays.first { world.net.hosts[$0].identity.keyHash == key }
      self.hostile = try #require(hostile)
      relay = HostileRelay(conduct)
      session = world.net.hosts[a].node.sessionHash(with: world.net.peerID(b))
      self.world = world
      self.world.net.hosts[self.hostile].hostility = relay
      for host in [a, b] { self.world.net.hosts[host].delivered.removeAll() }
    }

    /// The relays of the circuit that `a`'s packets take, as the end knows them that built it.
    private static func path(_ world: RelayInternet) -> (path: [KeyHash], isOfA: Bool)? {
      for (host, other) in [(world.a, world.b), (world.b, world.a)] {
        let node = world.net.hosts[host].node
        guard let slot = node.neighbours.slot(world.net.peerID(other)),
          case .circuit(let circuit) = node.neighbours.entries[slot].current?.endpoint.carrier,
          node.circuits.circuits[circuit]?.isOurs ?? false
        else { continue }
        return (node.circuits.path(of: circuit), host == world.a)
      }
      return nil
    }

    /// A packet like no other, from each end to the other, and 10 ms.
    mutating func exchange() {
      for (host, other) in [(world.a, world.b), (world.b, world.a)] {
        number += 1
        let packet = Packet.udp(
          from: Packet.address(world.net.peerID(host)), to: Packet.address(world.net.peerID(other)),
          source: number)
        sent[host, default: []].append(packet)
        world.net.transmit(packet, from: host)
      }
      world.net.run(.milliseconds(10))
    }

    /// How many packets arrived at both.
    var arrived: Int {
      world.net.hosts[world.a].delivered.count + world.net.hosts[world.b].delivered.count
    }

    /// Nothing arrived that was not sent, and nothing twice.
    func expectOnlyWhatWasSent() {
      for (host, other) in [(world.a, world.b), (world.b, world.a)] {
        let delivered = world.net.hosts[host].delivered
        #expect(Set(delivered).count == delivered.count, "nothing comes twice")
        #expect(Set(delivered).isSubset(of: sent[other] ?? []), "nothing comes that was not sent")
      }
    }

    /// Both ends have the session that they began with.
    func expectSameSession() {
      for (host, other) in [(world.a, world.b), (world.b, world.a)] {
        #expect(world.net.hosts[host].node.sessionHash(with: world.net.peerID(other)) == session)
      }
    }

    /// What an end has counted so.
    func drops(_ host: Int, _ reasons: DropReason...) -> UInt64 {
      reasons.reduce(0) { $0 + world.net.drops(host, $1) }
    }

    /// What the owners of both ends were told of circuits that ended.
    var ends: [String] {
      [world.a, world.b].flatMap { world.net.hosts[$0].events }.compactMap { event in
        if case .circuitEnded(_, let reason) = event { reason } else { nil }
      }
    }
  }

  @Test(
    "one that drops or alters every cell is routed around within 5 s, and the session goes on",
    arguments: [HostileRelay.Conduct.drop, .alter], [1, 2, 3])
  func useless(conduct: HostileRelay.Conduct, hops: Int) throws {
    var attack = try Attack(conduct, hops: hops)
    #expect(attack.drops(attack.builder, .cellForged) == 0)
    for _ in 0..<500 where attack.world.net.hosts[attack.world.b].delivered.isEmpty { attack.exchange() }
    for _ in 0..<100 { attack.exchange() }
    #expect(attack.relay.treated > 0)
    #expect(attack.world.net.hosts[attack.world.b].delivered.count >= 95, "others carry")
    #expect(attack.world.net.hosts[attack.world.a].delivered.count >= 95)
    attack.expectOnlyWhatWasSent()
    attack.expectSameSession()
    // Said to the owners: altered cells as such, and a circuit given up because nothing came back.
    if conduct == .alter {
      #expect(attack.drops(attack.builder, .cellForged) > 0)
      #expect(attack.drops(attack.other, .badTag, .malformed, .unknownType, .unknownIndex) > 0)
    }
    attack.world.net.run(.seconds(30))
    #expect(attack.ends.contains(CircuitEnd.silent.description), "\(attack.ends)")
  }

  @Test(
    "whichever relay of a chain drops or alters all cells is left within 5 s, though few others are known",
    arguments: [HostileRelay.Conduct.drop, .alter], [(2, 0), (2, 1), (3, 0), (3, 1), (3, 2)])
  func uselessOfFew(conduct: HostileRelay.Conduct, chain: (hops: Int, position: Int)) throws {
    var attack = try Attack(conduct, hops: chain.hops, relays: 4, position: chain.position)
    for _ in 0..<500 where attack.world.net.hosts[attack.world.b].delivered.isEmpty { attack.exchange() }
    for _ in 0..<100 { attack.exchange() }
    #expect(attack.world.net.hosts[attack.world.b].delivered.count >= 95)
    attack.expectOnlyWhatWasSent()
    attack.expectSameSession()
  }

  @Test(
    "one that sends every cell again, at once and later, delivers none twice; the repeats are counted",
    arguments: [1, 2, 3])
  func replays(hops: Int) throws {
    var attack = try Attack(.replay, hops: hops)
    for _ in 0..<300 { attack.exchange() }
    attack.world.net.run(.seconds(1))
    #expect(attack.arrived == 600)
    attack.expectOnlyWhatWasSent()
    attack.expectSameSession()
    // Who built the circuit finds them by its layers, the other end by its session.
    #expect(attack.drops(attack.builder, .cellForged) > 550)
    #expect(attack.drops(attack.other, .replayed) > 550)
  }

  @Test("one that reorders cells reorders packets, and no more", arguments: [1, 2, 3])
  func reorders(hops: Int) throws {
    var attack = try Attack(.reorder, hops: hops)
    for _ in 0..<300 { attack.exchange() }
    #expect(attack.relay.treated > 400)
    #expect(attack.arrived >= 590, "all but what is held")
    attack.expectOnlyWhatWasSent()
    attack.expectSameSession()
    for host in [attack.builder, attack.other] {
      #expect(attack.drops(host, .cellForged, .replayed, .badTag) == 0, "there is nothing to refuse")
    }
    let order = attack.world.net.hosts[attack.world.b].delivered
    #expect(order != (attack.sent[attack.world.a] ?? []).filter { order.contains($0) })
  }

  @Test(
    "one that makes up 1,000 cells a second stops nothing and fills nothing; what it makes up is counted",
    arguments: [1, 2, 3])
  func floods(hops: Int) throws {
    var attack = try Attack(.pass, hops: hops)
    for _ in 0..<10 { attack.exchange() }
    let key = attack.world.net.hosts[attack.hostile].identity.keyHash
    // The end that built the circuit has no place there, the other one has.
    attack.world.net.hosts[attack.builder].node.relays.held[key] = nil
    let victims = [attack.world.a, attack.world.b].filter {
      attack.world.net.hosts[attack.hostile].node.neighbours.slot(attack.world.net.peerID($0)) != nil
    }
    try #require(!victims.isEmpty)
    // The ends that it knows, and its neighbours of the circuit.
    let next = Set(attack.relay.ways.keys.map(\.to))
    let targets = ([attack.world.a, attack.world.b] + attack.world.relays).filter {
      victims.contains($0) || next.contains(attack.world.net.peerID($0))
    }
    func nodes() -> [MeshNode] { victims.map { attack.world.net.hosts[$0].node } }
    let neighbours = nodes().map { $0.neighbours.entries.count }
    let circuits = nodes().map { $0.circuits.count }
    func inbound(_ node: MeshNode) -> Int {
      node.circuits.circuits.values.count { !$0.isOurs && $0.entry == key }
    }
    let inboundBefore = nodes().map(inbound)
    let started = nodes().map { $0.status(now: attack.world.net.now).counters.handshakesStarted }
    let own = victims.map { attack.world.net.hosts[$0].endpoint }
    let source = attack.world.net.hosts[attack.hostile].endpoint
    let wire = attack.world.net.wire
    var answers = 0
    attack.world.net.wire = { datagram, from, to in
      // Less than a cell, or half of one.
      if own.contains(where: { $0 == from }), to == source, datagram.count < 300 { answers += 1 }
      return wire(datagram, from, to)
    }
    var random = SeededRandom(seed: Primitives.sha256([41]))
    for _ in 0..<200 {
      for target in targets {
        let peerID = attack.world.net.peerID(target)
        let standing = attack.relay.busiest(to: peerID)
        for index in 0..<10 {
          let other = UInt32(truncatingIfNeeded: random.next())
          var cell = random.bytes(CellLayout.cellSize)
          let circuit = index % 2 == 0 ? standing ?? other : other
          for byte in 0..<4 { cell[byte] = UInt8(truncatingIfNeeded: circuit >> UInt32(24 - 8 * byte)) }
          // A core that can be right, of a datagram of any type that there is.
          (cell[4], cell[5], cell[6]) = (0x44, 0, UInt8(index))
          _ = attack.world.net.hosts[attack.hostile].node.send(
            cell: cell.span, to: peerID, now: attack.world.net.now)
        }
        attack.world.net.settle(attack.hostile)
      }
      attack.exchange()
    }
    attack.world.net.run(.milliseconds(100))
    #expect(attack.arrived == 420, "everything that was sent")
    attack.expectOnlyWhatWasSent()
    attack.expectSameSession()
    #expect(answers < 100 * victims.count, "2,000 cells each, and 20 answers a second")
    // Over other relays, too: they can't tell.
    #expect(attack.drops(attack.builder, .cellForged) > 950)
    for (position, victim) in victims.enumerated() {
      let node = attack.world.net.hosts[victim].node
      #expect(attack.drops(victim, .cellRefused) > 500)
      // Without a place there none begins there, and with one so many and no more.
      let most = victim == attack.other ? CircuitClient.inboundPerRelay : inboundBefore[position]
      #expect(inbound(node) == most)
      #expect(node.circuits.count <= circuits[position] + CircuitClient.inboundPerRelay)
      #expect(node.circuits.links.count == node.circuits.count)
      #expect(node.neighbours.entries.count == neighbours[position])
      #expect(node.status(now: attack.world.net.now).counters.handshakesStarted == started[position])
    }
    #expect(victims.contains(attack.other))
    #expect(victims.contains(attack.builder), "it was asked for a place, or is the relay next to it")
    // What the flood began is forgotten when nobody uses it.
    attack.world.net.run(.seconds(200))
    for (position, node) in nodes().enumerated() { #expect(node.circuits.count <= circuits[position] + 2) }
  }
}
