import MeshCrypto
import MeshWire
import Testing

@testable import MeshNode
@testable import MeshRelay

/// Of four relays one begins anew, as for a new release, and later another dies: what is left is just enough
/// for a chain of three, but every link to the first one is of before, and so is its key in all records.
@Suite("Relays that are started anew")
struct RelayRestartTests {
  private struct World {
    var relayed: RelayInternet
    private var sequence: UInt64 = 1
    private var published: [Int: [RelayReservation]] = [:]

    init() throws {
      relayed = try RelayInternet(relays: 4, hops: 3)
      relayed.net.delay = { _, _ in .milliseconds(40) }
      try relayed.begin()
      for end in [relayed.a, relayed.b] { published[end] = relayed.reservations(end) }
      relayed.net.transmit(relayed.packet(from: relayed.a, to: relayed.b), from: relayed.a)
      relayed.net.run(.seconds(5))
    }

    /// Packets both ways each 100 ms; the longest time in which one of the ends got none.
    mutating func longestSilence(for time: Duration) throws -> Duration {
      let ends = [relayed.a, relayed.b]
      var heard = ends.map { _ in relayed.net.now }
      var longest = Duration.zero
      for _ in 0..<Int(time / .milliseconds(100)) {
        let before = ends.map { relayed.net.hosts[$0].delivered.count }
        for (end, other) in zip(ends, ends.reversed()) {
          relayed.net.transmit(relayed.packet(from: end, to: other), from: end)
        }
        relayed.net.run(.milliseconds(100))
        try publishPlaces()
        for end in 0..<2 {
          longest = max(longest, relayed.net.now - heard[end])
          if relayed.net.hosts[ends[end]].delivered.count > before[end] { heard[end] = relayed.net.now }
        }
      }
      return longest
    }

    /// What the shells of the ends do when their places change.
    private mutating func publishPlaces() throws {
      for (end, other) in [(relayed.a, relayed.b), (relayed.b, relayed.a)]
      where published[end] != relayed.reservations(end) {
        published[end] = relayed.reservations(end)
        sequence += 1
        try relayed.publish(end, admitting: other, sequence: sequence)
      }
    }

    mutating func restart(_ relay: Int) throws {
      var configuration = NodeConfiguration(region: relayed.net.region, serviceType: .lightPublic)
      configuration.relayOffer = 100
      relayed.net.hosts[relay].node = MeshNode(
        configuration: configuration, publicKey: relayed.net.hosts[relay].identity.publicKey,
        randomSeed: Primitives.sha256([99, UInt8(relay)]), now: relayed.net.now, wall: relayed.net.wall)
      relayed.net.settle(relay)
      sequence += 1
      let record = try relayed.relayRecord(relay, sequence: sequence)
      if case .records(var known) = relayed.net.backbone {
        known[record.peerID] = record.bundle
        relayed.net.backbone = .records(known)
      }
    }

    /// Of the places that the two ends told their peers, those of which the relay knows nothing.
    var forgottenPlaces: Int {
      [relayed.a, relayed.b].flatMap(relayed.reservations).count { place in
        let relay = relayed.relays.first { relayed.net.hosts[$0].identity.keyHash == place.relay }
        let kept = relay.flatMap { relayed.net.hosts[$0].node.relay }?.reservations ?? [:]
        return kept[UInt128(bytes: place.id)] == nil
      }
    }

    mutating func kill(_ relay: Int) {
      let (endpoint, wire) = (relayed.net.hosts[relay].endpoint, relayed.net.wire)
      relayed.net.wire = { datagram, from, to in
        from == endpoint || to == endpoint ? [] : wire(datagram, from, to)
      }
    }
  }

  @Test(
    "a chain through the one that began anew takes the place of one that dies", arguments: 0..<4, 1..<4)
  func thenAnotherDies(first: Int, later: Int) throws {
    var world = try World()
    let relays = world.relayed.relays
    try world.restart(relays[first])
    _ = try world.longestSilence(for: .seconds(20))
    world.kill(relays[(first + later) % relays.count])
    let silence = try world.longestSilence(for: .seconds(30))
    #expect(silence < .seconds(5), "silent for \(silence)")
  }

  @Test("places that a relay forgot are asked for again, though nobody sends anything", arguments: 0..<4)
  func placesAreHeldAgain(first: Int) throws {
    var world = try World()
    world.relayed.net.run(.seconds(60))
    #expect(world.forgottenPlaces == 0)
    try world.restart(world.relayed.relays[first])
    world.relayed.net.run(.seconds(100))
    #expect(world.forgottenPlaces == 0)
  }

  @Test("a place is forgotten by a relay that begins anew")
  func placesAreForgotten() throws {
    var world = try World()
    for relay in world.relayed.relays { try world.restart(relay) }
    #expect(world.forgottenPlaces == 4)
  }
}
