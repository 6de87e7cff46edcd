import MeshCrypto
import MeshWire
import Testing

@testable import MeshNode
@testable import MeshRelay

/// A peer that is silent because it is gone, and relays that have done nothing wrong.
@Suite("A peer that is gone")
struct GonePeerTests {
  private func connected(hops: Int) throws -> RelayInternet {
    var world = try RelayInternet(relays: 6, hops: hops)
    try world.begin()
    world.net.transmit(world.packet(from: world.a, to: world.b), from: world.a)
    world.net.run(.seconds(40))
    try #require(world.net.hosts[world.b].delivered.count == 1)
    return world
  }

  private func vanish(_ host: Int, _ world: inout RelayInternet) {
    let (gone, wire) = (world.net.hosts[host].endpoint, world.net.wire)
    world.net.wire = { datagram, from, to in from == gone || to == gone ? [] : wire(datagram, from, to) }
  }

  /// Packets for the peer, for whoever notices only then.
  private func call(_ time: Duration, _ world: inout RelayInternet) {
    for _ in 0..<Int(time / .milliseconds(200)) {
      world.net.transmit(world.packet(from: world.a, to: world.b), from: world.a)
      world.net.run(.milliseconds(200))
    }
  }

  @Test("costs no relay its place and no entry its turn, while the silence lasts", arguments: [1, 2, 3])
  func nobodyIsBlamed(hops: Int) throws {
    var world = try connected(hops: hops)
    let entry = world.net.hosts[world.a].node.relays.selection.entry
    #expect((entry != nil) == (hops > 1))
    vanish(world.b, &world)
    // Relays notice that their neighbour is gone after 15 s at the earliest.
    call(.seconds(14), &world)
    let node = world.net.hosts[world.a].node
    #expect(node.counters.circuitsUnproven > 0)
    for relay in world.relays {
      let key = world.net.hosts[relay].identity.keyHash
      let isResting = node.relays.selection.isResting(key, now: world.net.now)
      #expect(!isResting)
    }
    #expect(node.relays.selection.entry == entry)
    #expect(node.counters.entriesSuspected == 0)
  }

  @Test("has few circuits built to it in vain", arguments: [1, 3])
  func paced(hops: Int) throws {
    var world = try connected(hops: hops)
    vanish(world.b, &world)
    let before = world.net.hosts[world.a].node.counters.circuitsBuilt
    call(.seconds(40), &world)
    let built = world.net.hosts[world.a].node.counters.circuitsBuilt - before
    #expect((2...14).contains(built), "\(built) circuits in 40 s")
  }

  @Test("has chains begin at three relays at most, however long it goes on", arguments: [2, 3])
  func fewEntries(hops: Int) throws {
    var world = try connected(hops: hops)
    vanish(world.b, &world)
    var first: Set<KeyHash> = []
    for _ in 0..<200 {
      call(.milliseconds(200), &world)
      let circuits = world.net.hosts[world.a].node.circuits
      let paths = circuits.all.map { circuits.path(of: $0) }
      first.formUnion(paths.filter { $0.count == hops }.compactMap(\.first))
    }
    #expect(first.count <= RelaySelection.entryLimit, "\(first.count)")
  }
}
