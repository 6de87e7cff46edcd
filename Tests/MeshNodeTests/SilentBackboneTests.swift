import MeshCrypto
import MeshNode
import MeshWire
import Testing

/// Backbones that take everything and do nothing with it: who has another way meets, and the owner is told.
@Suite("Silent backbones")
struct SilentBackboneTests {
  /// What a backbone lets through; the sessions with it stand.
  enum Silence: CaseIterable {
    /// It answers no datagram and no question.
    case toAll
    /// It swallows what it should pass on to one node.
    case toOne
  }

  private func pin(_ backbones: [Int], to host: Int, _ net: inout SmallInternet) {
    let pins = backbones.map {
      BackbonePin(keyHash: net.hosts[$0].identity.keyHash, endpoint: net.hosts[$0].endpoint)
    }
    net.hosts[host].node.setBackbones(pins, now: net.now)
    net.settle(host)
  }

  /// - Parameter except: pairs between which nothing passes.
  private func hush(
    _ silence: Silence, _ backbone: Int, to host: Int, except blocked: [Endpoint] = [],
    _ net: inout SmallInternet
  ) {
    let (silent, deaf) = (net.hosts[backbone].endpoint, net.hosts[host].endpoint)
    net.backbone = .silent
    net.wire = { datagram, from, to in
      if blocked.contains(where: { $0 == from }), blocked.contains(where: { $0 == to }) { return [] }
      guard from == silent else { return [datagram] }
      return silence == .toOne && to != deaf ? [datagram] : []
    }
  }

  private func add(_ host: Int, _ peer: Int, at endpoints: [Endpoint], _ net: inout SmallInternet) throws {
    let identity = net.hosts[peer].identity.keyHash
    try net.hosts[host].node.addPeer(
      PeerEntry(peerID: identity.peerID, keyHash: identity, endpoints: endpoints), now: net.now)
    net.settle(host)
  }

  @Test("peers that know each other's addresses meet", arguments: Silence.allCases)
  func known(silence: Silence) throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    let silent = try net.addHost(.backbone)
    for host in [0, 1] { pin([silent], to: host, &net) }
    net.run(.seconds(2))
    hush(silence, silent, to: 1, &net)
    try net.pair(0, 1)
    net.run(.seconds(1))
    #expect(net.state(of: 1, at: 0)?.path?.endpoint == net.hosts[1].endpoint)
  }

  @Test("peers that have another backbone as well meet within a second", arguments: Silence.allCases)
  func another(silence: Silence) throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    let (silent, honest) = (try net.addHost(.backbone), try net.addHost(.backbone))
    for host in [0, 1] { pin([silent, honest], to: host, &net) }
    net.run(.seconds(2))
    hush(silence, silent, to: 1, &net)
    for (host, other) in [(0, 1), (1, 0)] { try add(host, other, at: [], &net) }
    net.run(.seconds(1))
    #expect(net.state(of: 1, at: 0)?.path?.endpoint == net.hosts[1].endpoint)
    #expect(net.hosts[0].node.status(now: net.now).counters.introductionsTaken > 0)
  }

  @Test("peers that share a relay meet through it again", arguments: Silence.allCases)
  func relayed(silence: Silence) throws {
    var world = try RelayInternet(relays: 1, hops: 1)
    let (a, b) = (world.a, world.b)
    let silent = try world.net.addHost(.backbone)
    for host in [a, b] { pin([silent], to: host, &world.net) }
    world.net.run(.seconds(2))
    let blocked = [world.net.hosts[a].endpoint, world.net.hosts[b].endpoint]
    try world.begin()
    world.net.run(.seconds(20))
    hush(silence, silent, to: b, except: blocked, &world.net)
    for (host, other) in [(a, b), (b, a)] {
      _ = world.net.hosts[host].node.resetPeer(world.net.peerID(other), now: world.net.now)
      world.net.settle(host)
    }
    #expect(world.net.state(of: b, at: a)?.path == nil)
    world.net.run(.seconds(10))
    #expect(world.net.state(of: b, at: a)?.path?.kind == .relayed)
    world.net.transmit(world.packet(from: a, to: b), from: a)
    world.net.run(.seconds(1))
    #expect(world.net.hosts[b].delivered.count == 1)
  }

  @Test("the owner is told what the backbones had to do with it")
  func told() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    let silent = try net.addHost(.backbone)
    for host in [0, 1] { pin([silent], to: host, &net) }
    net.run(.seconds(2))
    hush(.toOne, silent, to: 1, &net)
    // The peer is there, and hears nothing; at the address that is known of it nobody is.
    let nowhere = Endpoint(.v4(0xcb00_7109), port: 9)
    try add(0, 1, at: [nowhere], &net)
    net.run(.seconds(31))
    let passedNothing = net.state(of: 1, at: 0)?.trouble ?? ""
    #expect(passedNothing.hasSuffix("no backbone passed on a word of it"), "\(passedNothing)")
    // With a backbone that never was there.
    var other = SmallInternet()
    for _ in 0..<2 { _ = try other.addHost() }
    let dead = try other.addHost(.backbone)
    hush(.toAll, dead, to: 1, &other)
    pin([dead], to: 0, &other)
    try add(0, 1, at: [nowhere], &other)
    other.run(.seconds(31))
    let nobody = other.state(of: 1, at: 0)?.trouble ?? ""
    #expect(nobody.hasSuffix("no backbone answers"), "\(nobody)")
    // Who knows no address asks for a record, and isn't answered either.
    try add(1, 0, at: [], &other)
    other.run(.seconds(5))
    let noRecord = other.state(of: 0, at: 1)?.trouble ?? ""
    #expect(noRecord.hasSuffix("the backbone could not be asked: it did not answer in time"), "\(noRecord)")
  }

  @Test("what a silent backbone doesn't say, a peer that knows the record does")
  func asksPeers() throws {
    var net = SmallInternet()
    for _ in 0..<3 { _ = try net.addHost() }
    try net.publish(2, admitting: [0, 1])
    try net.pair(1, 2)
    net.run(.seconds(2))
    try net.pair(0, 1)
    net.run(.seconds(2))
    net.backbone = .silent
    try add(0, 2, at: [], &net)
    net.run(.seconds(6))
    #expect(net.state(of: 2, at: 0)?.path?.endpoint == net.hosts[2].endpoint)
  }
}
