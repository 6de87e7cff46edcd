import MeshCrypto
import MeshWire
import RepeatableRandom
import Testing

@testable import MeshSession

@Suite struct RekeyTests {
  /// Runs with a packet each second both ways; returns how many arrived.
  private func talk(_ world: World, for seconds: Int) -> (alice: Int, bob: Int) {
    let before = (world.alice.packets.count, world.bob.packets.count)
    for _ in 0..<seconds {
      world.alice.send([0x60, 1], now: world.now)
      world.bob.send([0x60, 2], now: world.now)
      world.run(for: .seconds(1))
    }
    return (world.alice.packets.count - before.0, world.bob.packets.count - before.1)
  }

  @Test(arguments: AEADSuite.allCases)
  func keysChangeEvery120SecondsWithoutLosingAPacket(suite: AEADSuite) throws {
    let world = World.connected(suite: suite)
    let arrived = talk(world, for: 600)
    #expect(arrived == (600, 600))
    #expect(world.alice.session?.generation == 4)
    #expect(world.bob.session?.generation == 4)
    let a = try #require(world.alice.session)
    let b = try #require(world.bob.session)
    #expect(a.epochs[a.sending].root == b.epochs[b.sending].root)
    #expect(a.epochs.count == 1, "old keys are gone after 10 s")
    #expect(world.alice.transportDrops.isEmpty && world.bob.transportDrops.isEmpty)
    #expect(world.alice.wishes.isEmpty && world.bob.wishes.isEmpty)
  }

  @Test func noPairOfKeyAndCounterIsUsedTwice() {
    for seed in 0..<6 as Range<UInt64> {
      var generator = SplitMix64(seed: seed)
      let world = World.connected()
      world.fate = { _, _ in
        Int.random(in: 0..<100, using: &generator) < 20
          ? [] : [.milliseconds(Int.random(in: 5...90, using: &generator))]
      }
      _ = talk(world, for: 400)
      var used: Set<[UInt8]> = []
      var messages = 0
      for sent in world.sent where sent.kind == 1 {
        messages += 1
        // Direction, receiver index (fresh for each key) and counter.
        used.insert([sent.fromAlice ? 1 : 0] + sent.bytes[4..<16])
      }
      #expect(used.count == messages)
      #expect((world.alice.session?.generation ?? 0) >= 2, "seed \(seed)")
      let a = world.alice.session.map { $0.epochs[$0.sending].root }
      #expect(world.bob.session?.epochs.contains { $0.root == a } == true, "seed \(seed)")
      #expect(world.alice.transportDrops.filter { $0 == .unauthenticated }.isEmpty)
    }
  }

  @Test func anIdleSessionRekeysAndLivesOn() {
    let world = World.connected()
    world.run(for: .seconds(1_000))
    #expect((world.alice.session?.generation ?? 0) >= 7)
    world.alice.send([0x60, 9], now: world.now)
    world.run(for: .seconds(1))
    #expect(world.bob.packets == [[0x60, 9]])
    #expect(world.alice.wishes.isEmpty)
  }

  @Test func twoToTheTwentySixPacketsStartARekey() {
    let world = World.connected()
    world.run(for: .seconds(3))
    world.alice.sessions[0].epochs[0].counter = 1 << 26 - 1
    world.run(for: .seconds(3))
    #expect(world.alice.session?.generation == 0)
    world.alice.send([0x60], now: world.now)
    world.run(for: .seconds(3))
    #expect(world.alice.session?.generation == 1 && world.bob.session?.generation == 1)
  }

  @Test func theResponderRekeysWhenTheInitiatorDoesNot() {
    let world = World.connected()
    // Alice's jobs fail, so her own requests never begin.
    world.alice.tamper = { job, result in
      if case .makeOffer = job { return .failed }
      return result
    }
    _ = talk(world, for: 140)
    #expect(world.alice.session?.generation == 1 && world.bob.session?.generation == 1)
  }

  @Test func whenBothAskTheInitiatorsRequestStands() {
    let world = World.connected()
    world.run(for: .seconds(3))
    world.alice.sessions[0].epochs[0].counter = 1 << 26
    world.bob.sessions[0].epochs[0].counter = 1 << 26
    world.run(for: .seconds(5))
    #expect(world.alice.session?.generation == 1 && world.bob.session?.generation == 1)
    let a = world.alice.session.map { $0.epochs[$0.sending].root }
    #expect(a == world.bob.session.map { $0.epochs[$0.sending].root })
    #expect(world.alice.transportDrops.contains(.rekeyRefused))
  }

  @Test func aLostAnswerIsGivenAgainByteForByteAndWithoutAnotherJob() {
    let world = World.connected()
    world.run(for: .seconds(110))
    let jobs = world.bob.jobs.count
    var lost = 0
    world.fate = { _, sent in
      // The answer's two pieces are the only large packets that bob sends now.
      if !sent.fromAlice, sent.bytes.count > 500, lost < 6 {
        lost += 1
        return []
      }
      return [World.latency]
    }
    world.run(for: .seconds(20))
    #expect(world.bob.jobs.count == jobs + 1, "one encapsulation, however often it is asked for")
    #expect(world.alice.session?.generation == 1 && world.bob.session?.generation == 1)
  }

  @Test func rekeyMessagesOfOtherGenerationsOrSizesAreRefused() throws {
    let world = World.connected()
    let offer = try KeyExchangeSecret().offer.bytes
    let jobs = world.bob.jobs.count
    for message in [
      RekeyMessage.encode(0x20, generation: 0, receiverIndex: 9, exchange: offer),
      RekeyMessage.encode(0x20, generation: 2, receiverIndex: 9, exchange: offer),
      RekeyMessage.encode(0x20, generation: 1, receiverIndex: 0, exchange: offer),
      RekeyMessage.encode(0x20, generation: 1, receiverIndex: 9, exchange: offer + [0]),
      RekeyMessage.encode(0x21, generation: 1, receiverIndex: 9, exchange: offer),
      [0x20], [0x21, 0, 0],
    ] {
      world.alice.send(control: message, now: world.now)
      world.run(for: .milliseconds(50))
    }
    #expect(world.bob.jobs.count == jobs)
    #expect(world.bob.transportDrops == Array(repeating: .rekeyRefused, count: 7))
    #expect(world.bob.session?.generation == 0)
  }

  @Test func aLowOrderRekeyRequestMakesNoKeys() throws {
    let world = World.connected()
    var offer = try KeyExchangeSecret().offer.bytes
    offer.replaceSubrange(0..<32, with: [UInt8](repeating: 0, count: 32))
    let request = RekeyMessage.encode(0x20, generation: 1, receiverIndex: 9, exchange: offer)
    world.alice.send(control: request, now: world.now)
    world.run(for: .seconds(1))
    #expect(world.bob.session?.epochs.count == 1 && world.bob.session?.rekey.isIdle == true)
  }

  /// Both ends have new keys, made at alice's request, and nothing under them has reached bob.
  private func unheard() -> World {
    let world = World.connected()
    world.run(for: .seconds(110))
    var isSilent = false
    world.fate = { _, sent in
      if sent.fromAlice, world.alice.session?.generation == 1 { isSilent = true }
      return isSilent && sent.fromAlice ? [] : [World.latency]
    }
    world.run(for: .seconds(20)) { isSilent }
    return world
  }

  @Test func oldKeysAreReceivedUntilTenSecondsAfterTheFirstPacketUnderTheNew() throws {
    let world = unheard()
    for second in 0..<20 as Range<UInt8> {
      world.bob.send([0x60, second], now: world.now)
      world.run(for: .seconds(1))
    }
    #expect(world.bob.session?.generation == 0, "bob has heard nothing")
    #expect(world.alice.packets.count == 20, "and goes on with the old keys")
    world.fate = { _, _ in [World.latency] }
    world.alice.send([0x60], now: world.now)
    #expect(world.run(for: .seconds(1)) { world.alice.session?.epochs.last?.isProven == true })
    for node in [world.alice, world.bob] {
      let session = try #require(node.session)
      #expect(session.generation == 1 && session.epochs.count == 2)
      // Bob has heard alice one way earlier.
      let since = session.epochs[0].receivesUntil + (node === world.bob ? World.latency : .zero)
      #expect(since == world.now + .seconds(10))
    }
    world.run(for: .seconds(10) + .milliseconds(1))
    #expect(world.alice.session?.epochs.count == 1 && world.bob.session?.epochs.count == 1)
  }

  @Test func oldKeysEndAtTheirOwnTimeThoughNothingComesUnderTheNew() {
    let world = unheard()
    world.run(for: .seconds(80))
    #expect(world.now > World.start + .seconds(190))
    #expect(world.alice.session?.epochs.contains { $0.generation == 0 } == false)
  }

  @Test func newKeysUnderWhichNothingComesBackAreConfirmedTenTimesAndNotForEver() {
    let world = unheard()
    let began = world.now
    world.run(for: .seconds(20))
    #expect(world.sent.count { $0.fromAlice && $0.at >= began && $0.bytes.count == 32 } == 10)
  }

  @Test func afterADayTheHandshakeIsRunAnew() {
    let world = World.connected()
    world.run(for: .seconds(24 * 3_600 - 10))
    #expect(world.alice.wishes.isEmpty && world.bob.wishes.isEmpty)
    world.run(for: .seconds(12))
    #expect(world.alice.wishes == [.identityAge])
  }

  @Test func aSupersededSessionOnlyReceivesAndForTenSeconds() {
    let world = World.connected()
    world.alice.sessions[0].supersede(now: world.now)
    #expect(world.alice.send([0x60], now: world.now) == .refused(.expired))
    world.bob.send([0x60, 5], now: world.now)
    world.run(for: .seconds(9))
    #expect(world.alice.packets == [[0x60, 5]])
    world.run(for: .seconds(2))
    #expect(world.alice.session?.isExpired == true)
  }
}
