import MeshWire
import Testing

@testable import MeshSession

/// What a session knows of the size that its path carries (SMH1.md §9).
@Suite struct PathTests {
  private func large() -> World {
    let world = World.connected()
    world.run(for: .seconds(2))
    return world
  }

  private func breakPath(_ world: World) {
    world.fate = { _, sent in sent.bytes.count > 1_232 ? [] : [World.latency] }
  }

  @Test func aPathIsUndecidedUntilItsProbeIsAnsweredOrLostThrice() {
    let world = World()
    world.begin()
    world.run(for: .seconds(1)) { world.isEstablished }
    #expect(world.alice.session?.isPathDecided == false)
    world.run(for: .milliseconds(100))
    #expect(world.alice.session?.isPathDecided == true && world.alice.session?.wholePacket == 1_419)
    let narrow = World()
    breakPath(narrow)
    narrow.begin()
    narrow.run(for: .seconds(2))
    #expect(narrow.alice.session?.isPathDecided == false)
    narrow.run(for: .seconds(3))
    #expect(narrow.alice.session?.isPathDecided == true && narrow.alice.session?.wholePacket == 1_199)
  }

  /// The peer's keepalives and small packets still come, so silence never says that the large ones are lost.
  @Test func aPathThatBeginsToLoseLargeDatagramsIsFoundOutWhileDataFlows() {
    let world = large()
    breakPath(world)
    let packet = [UInt8](repeating: 0x60, count: 1_400)
    for _ in 0..<19 {
      world.alice.send(packet, now: world.now)
      world.bob.send([0x60], now: world.now)
      world.run(for: .seconds(1))
    }
    #expect(world.alice.wishes.isEmpty)
    #expect(world.alice.session?.pathPayload == 1_232)
    world.bob.packets = []
    world.alice.send(packet, now: world.now)
    world.run(for: .seconds(1))
    #expect(world.bob.packets == [packet], "in two datagrams")
  }

  @Test func aLargePathIsAskedAgainNoMoreThanEveryFifteenSeconds() {
    let world = large()
    let before = world.sent.count { $0.fromAlice && $0.bytes.count == 1_452 }
    for _ in 0..<60 {
      world.alice.send([UInt8](repeating: 0x60, count: 1_400), now: world.now)
      world.run(for: .seconds(1))
    }
    let probes = world.sent.count { $0.fromAlice && $0.bytes.count == 1_452 } - before
    #expect((3...4).contains(probes), "\(probes) in a minute")
    #expect(world.alice.session?.pathPayload == 1_452)
  }

  @Test func aPathThatNobodyUsesIsAskedAgainAfterSixHundredSeconds() {
    let world = large()
    let before = world.sent.count { $0.fromAlice && $0.bytes.count == 1_452 }
    world.run(for: .seconds(590))
    #expect(world.sent.count { $0.fromAlice && $0.bytes.count == 1_452 } == before)
    world.run(for: .seconds(20))
    #expect(world.sent.count { $0.fromAlice && $0.bytes.count == 1_452 } == before + 1)
  }

  @Test func whatTheHostRefusesAsTooLargeGoesInTwoAtOnceAndIsTriedAgainAfterAMinute() {
    let world = large()
    var actions: [SessionAction] = []
    world.alice.sessions[0].pathRefused(now: world.now, into: &actions)
    let sizes = actions.compactMap { if case .pathPayload(let size) = $0 { size } else { nil } }
    #expect(sizes == [1_232])
    let outcome = world.alice.send([UInt8](repeating: 0x60, count: 1_300), now: world.now)
    #expect(outcome == .two(first: 689, second: 689))
    world.run(for: .seconds(58))
    #expect(world.alice.session?.pathPayload == 1_232)
    world.run(for: .seconds(4))
    #expect(world.alice.session?.pathPayload == 1_452)
    actions = []
    breakPath(world)
    world.alice.sessions[0].pathRefused(now: world.now, into: &actions)
    world.alice.sessions[0].pathRefused(now: world.now, into: &actions)
    #expect(actions.count == 1, "said once")
  }

  @Test func afterSilenceThePathIsUndecidedAndAskedWhenThePeerIsHeardAgain() {
    let world = large()
    world.fate = { _, _ in [] }
    world.alice.send([0x60], now: world.now)
    world.run(for: .seconds(16))
    #expect(world.alice.session?.isPathDecided == false)
    world.fate = { _, _ in [World.latency] }
    world.bob.send([0x60], now: world.now)
    world.run(for: .milliseconds(100))
    #expect(world.alice.session?.pathPayload == 1_452 && world.alice.session?.isPathDecided == true)
  }
}
