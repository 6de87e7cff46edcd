import MeshCrypto
import MeshWire
import Testing

@testable import MeshSession

@Suite struct LossTests {
  /// Every datagram of a faultless handshake, by its number.
  @Test(arguments: [true, false]) func theHandshakeSurvivesTheLossOfAnyOneDatagram(knownKey: Bool) {
    let whole = World()
    whole.begin(knownKey: knownKey)
    #expect(whole.run(for: .seconds(1)) { whole.isEstablished })
    for lost in 0..<whole.sent.count {
      let world = World()
      world.fate = { number, _ in number == lost ? [] : [World.latency] }
      world.begin(knownKey: knownKey)
      #expect(world.run(for: .seconds(3)) { world.isEstablished }, "without datagram \(lost)")
      #expect(world.alice.session?.epochs[0].root == world.bob.session?.epochs[0].root)
      #expect(world.alice.sessions.count == 1 && world.bob.sessions.count == 1)
    }
  }

  @Test func theHandshakeSurvivesTheLossOfAnyTwoDatagrams() {
    for first in 0..<16 {
      for second in first + 1..<18 {
        let world = World()
        world.fate = { number, _ in number == first || number == second ? [] : [World.latency] }
        world.begin()
        #expect(world.run(for: .seconds(8)) { world.isEstablished }, "without \(first) and \(second)")
      }
    }
  }

  @Test func duplicatesAndReorderingOfAllDatagramsDoNoHarm() {
    for seed in 0..<60 as Range<UInt64> {
      var generator = SeededGenerator(state: seed)
      let world = World()
      world.fate = { _, _ in
        (0..<Int.random(in: 1...3, using: &generator)).map { _ in
          .milliseconds(Int.random(in: 1...80, using: &generator))
        }
      }
      world.begin(knownKey: seed % 2 == 0)
      #expect(world.run(for: .seconds(5)) { world.isEstablished }, "seed \(seed)")
      world.run(for: .seconds(1))
      #expect(world.bob.sessions.count == 1 && world.alice.sessions.count == 1, "seed \(seed)")
      world.alice.send([0x60, 7], now: world.now)
      world.run(for: .milliseconds(200))
      #expect(world.bob.packets == [[0x60, 7]], "once, though it came \(seed) thrice")
    }
  }

  /// M1 goes out whole seven times in 30 s, and each time all of its fragments have to pass: three at 30 %
  /// loss pass once in three tries. The node then tries again; what must never happen is two ends that
  /// disagree.
  @Test(arguments: [(10, 0), (20, 6), (30, 22)])
  func randomLossOnlyDelaysTheHandshake(percent: Int, tolerated: Int) {
    var failed = 0
    for seed in 0..<150 as Range<UInt64> {
      var generator = SeededGenerator(state: seed &* 7_919 &+ UInt64(percent))
      let world = World(alwaysDemandsCookie: seed % 3 == 0)
      world.fate = { _, _ in
        Int.random(in: 0..<100, using: &generator) < percent
          ? [] : [.milliseconds(Int.random(in: 10...40, using: &generator))]
      }
      world.begin(knownKey: seed % 2 == 0)
      guard world.run(for: .seconds(31), until: { world.isEstablished }) else {
        failed += 1
        #expect(world.alice.failures == [.timedOut], "seed \(seed)")
        continue
      }
      let root = world.alice.session?.epochs[0].root
      #expect(world.bob.sessions.contains { $0.epochs[0].root == root }, "seed \(seed)")
    }
    #expect(failed <= tolerated, "\(failed) of 150")
  }
}
