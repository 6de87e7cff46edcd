import MeshCrypto
import MeshWire
import Testing

@testable import MeshSession

/// What the simulator found in long tails of handshakes at 10 % loss (SMH1.md §7).
@Suite struct LostAcksTests {
  /// Loses the last fragment of M2b the first `fragment` times, and the first `acks` Acks of alice.
  private func world(losing fragment: Int, acks: Int) -> World {
    let world = World()
    var lostFragments = 0
    var lostAcks = 0
    world.fate = { _, sent in
      if sent.kind == 5, sent.bytes[3] == 3, lostFragments < fragment {
        lostFragments += 1
        return []
      }
      if sent.kind == 7, sent.fromAlice, lostAcks < acks {
        lostAcks += 1
        return []
      }
      return [World.latency]
    }
    return world
  }

  @Test func anAckGetsThroughBeforeTheResponderForgets() {
    let world = world(losing: 1, acks: 4)
    world.begin()
    #expect(world.run(for: .seconds(3)) { world.isEstablished })
    #expect(world.sentCount(2, fromAlice: true) == 2, "M1 went out once")
  }

  @Test func whatThereIsOfM2IsKeptWhenAcksLeadNowhere() {
    // The fifth Ack arrives, so that bob sends nothing but the one fragment from then on; it is lost again.
    let world = world(losing: 2, acks: 4)
    world.begin()
    #expect(world.run(for: .seconds(5)) { world.isEstablished })
  }

  @Test func anotherM2IsTakenFromAResponderThatHasForgotten() {
    let world = world(losing: 1, acks: .max)
    world.begin()
    #expect(!world.run(for: .seconds(1)) { world.isEstablished })
    world.bob.table = ResponderTable(
      own: world.bob.identity.publicKey, alwaysDemandsCookie: false,
      secretSeed: [UInt8](repeating: 9, count: 32), now: world.now)
    #expect(world.run(for: .seconds(5)) { world.isEstablished })
  }
}
