import MeshCrypto
import MeshNode
import MeshWire
import Testing

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
}
