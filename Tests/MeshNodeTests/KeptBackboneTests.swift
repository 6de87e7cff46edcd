import MeshCrypto
import MeshNode
import MeshWire
import Testing

/// The sessions that a node keeps with its backbones.
@Suite("Kept backbones")
struct KeptBackboneTests {
  /// A node, its peer, and two backbones that both have sessions with.
  private struct World {
    var net = SmallInternet()
    let a: Int
    let b: Int
    let backbones: [Int]

    init() throws {
      a = try net.addHost()
      b = try net.addHost()
      backbones = [try net.addHost(.backbone), try net.addHost(.backbone)]
      for host in [a, b] { setBackbones(of: host, backbones) }
      net.run(.seconds(2))
    }

    mutating func setBackbones(of host: Int, _ pinned: [Int]) {
      let pins = pinned.map {
        BackbonePin(keyHash: net.hosts[$0].identity.keyHash, endpoint: net.hosts[$0].endpoint)
      }
      net.hosts[host].node.setBackbones(pins, now: net.now)
      net.settle(host)
    }

    /// Nothing passes between the node and its peer any more.
    mutating func part() {
      let (one, other) = (net.hosts[a].endpoint, net.hosts[b].endpoint)
      net.wire = { datagram, from, to in
        (from == one && to == other) || (from == other && to == one) ? [] : [datagram]
      }
    }

    func counters(_ host: Int) -> NodeCounters { net.hosts[host].node.status(now: net.now).counters }
  }

  @Test("a backbone that has forgotten its sessions has them again within 45 s")
  func restarted() throws {
    var world = try World()
    let backbone = world.backbones[0]
    let before = world.counters(world.a).handshakesCompleted
    let configuration = NodeConfiguration(region: world.net.region, serviceType: .backbone)
    world.net.hosts[backbone].node = MeshNode(
      configuration: configuration, publicKey: world.net.hosts[backbone].identity.publicKey,
      randomSeed: Primitives.sha256([99]), now: world.net.now, wall: world.net.wall)
    world.net.settle(backbone)
    world.net.run(.seconds(45))
    #expect(world.counters(world.a).handshakesCompleted == before + 1)
    #expect(world.net.hosts[backbone].node.status(now: world.net.now).controlSessions == 2)
  }

  @Test("what only keeps a session with a backbone is small: no answer has the path checked")
  func quiet() throws {
    var world = try World()
    world.net.run(.seconds(10))
    let backbones = world.backbones.map { world.net.hosts[$0].endpoint }
    var sizes: [Int] = []
    world.net.wire = { datagram, from, to in
      if backbones.contains(where: { $0 == from || $0 == to }) { sizes.append(datagram.count) }
      return [datagram]
    }
    let handshakes = world.counters(world.a).handshakesStarted
    // Keys are changed after two minutes.
    world.net.run(.seconds(90))
    #expect(sizes.count > 4 * 3 * 2, "both ask both each 23 s")
    #expect(sizes.max() ?? 0 < 100)
    #expect(sizes.reduce(0, +) < 4 * 90 * 12, "12 bytes a second and session")
    #expect(world.counters(world.a).handshakesStarted == handshakes)
  }

  @Test("one backbone that introduces without end doesn't hold up what another introduces")
  func crowdingBackbone() throws {
    var world = try World()
    let (a, b) = (world.a, world.b)
    // B takes introductions of A, and never reaches it: only what is taken counts here.
    try world.net.addOneSided(b, a)
    world.setBackbones(of: a, [world.backbones[0]])
    world.part()
    world.net.run(.milliseconds(400))
    let before = world.counters(b).introductionsTaken
    try world.net.addOneSided(a, b)
    world.net.run(.milliseconds(10))
    #expect(world.counters(b).introductionsTaken == before + 1)
    world.setBackbones(of: a, [world.backbones[1]])
    world.net.run(.milliseconds(50))
    _ = world.net.hosts[a].node.resetPeer(world.net.peerID(b), now: world.net.now)
    world.net.settle(a)
    world.net.run(.milliseconds(10))
    #expect(world.counters(b).introductionsTaken == before + 2)
    // The same backbone again, within the interval: not taken.
    _ = world.net.hosts[a].node.resetPeer(world.net.peerID(b), now: world.net.now)
    world.net.settle(a)
    world.net.run(.milliseconds(10))
    #expect(world.counters(b).introductionsTaken == before + 2)
  }

  @Test("whether nodes are there is told ten times a second, and no more often")
  func awayOrNot() throws {
    var world = try World()
    let strangers = try (0..<40).map { _ in try IdentityKey().keyHash }
    for stranger in strangers {
      let entry = PeerEntry(
        peerID: stranger.peerID, keyHash: stranger,
        endpoints: [Endpoint(.v4(0xc612_4d01), port: 9)])
      try world.net.hosts[world.a].node.addPeer(entry, now: world.net.now)
    }
    world.net.settle(world.a)
    world.net.run(.milliseconds(20))
    #expect(world.counters(world.a).introductionsAsked == 80)
    let told = world.counters(world.a).introductionsFailed
    #expect(told > 0 && told <= 40)
  }
}
