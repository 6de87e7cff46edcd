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

  private func breakPath(_ world: World, over size: Int = 1_232) {
    world.fate = { _, sent in sent.bytes.count > size ? [] : [World.latency] }
  }

  /// The sizes of the probes that Alice has sent since `mark`.
  private func probes(_ world: World, since mark: Int = 0) -> [Int] {
    world.sent[mark...].filter { $0.fromAlice && $0.kind == 1 && $0.bytes.count > 1_232 }.map(\.bytes.count)
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
    narrow.run(for: .seconds(9))
    #expect(narrow.alice.session?.isPathDecided == true && narrow.alice.session?.wholePacket == 1_199)
  }

  @Test func anOrdinaryPathIsFoundWithOneProbe() {
    #expect(probes(large()) == [1_452])
  }

  @Test(arguments: [1_232, 1_312, 1_313, 1_340, 1_341, 1_372, 1_400, 1_412, 1_443, 1_444, 1_452, 8_952])
  func theSearchEndsAtTheLargestSizeThatPasses(carried: Int) {
    let world = World()
    breakPath(world, over: carried)
    world.begin()
    world.run(for: .seconds(15))
    let largest = Layout.probedPayloads.last { $0 <= carried } ?? 1_232
    #expect(world.alice.session?.pathPayload == largest && world.bob.session?.pathPayload == largest)
    #expect(world.alice.session?.isPathDecided == true)
    // At most four sizes are asked for, those that fail three times each.
    let asked = probes(world)
    #expect(Set(asked).count <= 4 && asked.count <= 10, "\(asked)")
    world.alice.send([UInt8](repeating: 0x60, count: largest - 33), now: world.now)
    world.run(for: .seconds(1))
    #expect(world.bob.packets.last?.count == largest - 33)
  }

  @Test func nothingIsLargerThanWhatWasProvedWhileTheSearchGoesOn() {
    let world = World()
    breakPath(world, over: 1_372)
    world.begin()
    world.run(for: .seconds(1)) { world.isEstablished }
    for _ in 0..<100 {
      let mark = world.sent.count
      let payload = world.alice.session?.pathPayload ?? 0
      world.alice.send([UInt8](repeating: 0x60, count: 1_419), now: world.now)
      world.run(for: .zero)
      let sent = world.sent[mark...].filter(\.fromAlice).map(\.bytes.count)
      let data = sent.filter { !Layout.probedPayloads.contains($0) }
      #expect(data.allSatisfy { $0 <= payload } && data.count == 2)
      world.run(for: .milliseconds(100))
    }
    #expect(world.bob.packets.count == 100)
    #expect(world.alice.session?.pathPayload == 1_372)
  }

  @Test func moreThanTheSearchFoundIsTriedAfterSixHundredSeconds() {
    let world = World()
    breakPath(world, over: 1_372)
    world.begin()
    world.run(for: .seconds(20))
    #expect(world.alice.session?.pathPayload == 1_372)
    world.fate = { _, _ in [World.latency] }
    world.run(for: .seconds(570))
    #expect(world.alice.session?.pathPayload == 1_372)
    world.run(for: .seconds(40))
    #expect(world.alice.session?.pathPayload == 1_452)
  }

  @Test func aPathThatIsLookedAtAgainKeepsWhatItHasMeanwhile() {
    let world = World()
    breakPath(world, over: 1_372)
    world.begin()
    world.run(for: .seconds(20))
    let mark = world.sent.count
    for _ in 0..<620 {
      world.run(for: .seconds(1))
      #expect(world.alice.session?.pathPayload == 1_372 && world.alice.session?.isPathDecided == true)
    }
    #expect(probes(world, since: mark) == [1_452, 1_452, 1_452, 1_412, 1_412, 1_412])
  }

  @Test func whatIsKnownBeforehandNotToPassIsNotTried() {
    let world = large()
    var actions: [SessionAction] = []
    let mark = world.sent.count
    world.alice.sessions[0].pathChanged(limit: 1_341, now: world.now, into: &actions)
    #expect(world.alice.session?.pathPayload == 1_232 && world.alice.session?.isPathDecided == false)
    world.run(for: .seconds(1_300))
    #expect(world.alice.session?.pathPayload == 1_341)
    #expect(Set(probes(world, since: mark)) == [1_341])
    world.alice.sessions[0].pathChanged(limit: 1_000, now: world.now, into: &actions)
    world.run(for: .seconds(1_300))
    #expect(world.alice.session?.pathPayload == 1_232 && world.alice.session?.isPathDecided == true)
    world.alice.sessions[0].pathChanged(now: world.now, into: &actions)
    world.run(for: .seconds(1))
    #expect(world.alice.session?.pathPayload == 1_452)
  }

  /// A confirmation that comes late costs nothing but two datagrams for each packet.
  @Test func whileAConfirmationIsOverduePacketsGoInDatagramsThatEveryPathCarries() {
    let world = large()
    let packet = [UInt8](repeating: 0x60, count: 1_400)
    world.alice.send(packet, now: world.now)
    world.run(for: .milliseconds(900))
    breakPath(world)
    world.run(for: .milliseconds(700))
    #expect(world.alice.session?.pathPayload == 1_232 && world.alice.session?.isPathDecided == false)
    world.alice.send(packet, now: world.now)
    world.run(for: .milliseconds(100))
    #expect(world.bob.packets.count == 2)
    world.fate = { _, _ in [World.latency] }
    world.run(for: .seconds(1))
    #expect(world.alice.session?.pathPayload == 1_452 && world.alice.session?.isPathDecided == true)
  }

  /// The peer's keepalives and small packets still come, so silence never says that the large ones are lost.
  @Test func aPathThatBeginsToLoseLargeDatagramsIsFoundOutWhileDataFlows() {
    let world = large()
    breakPath(world)
    let packet = [UInt8](repeating: 0x60, count: 1_400)
    for _ in 0..<7 {
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

  /// What is in doubt is not sent, either way, and costs one round trip where nothing was wrong.
  @Test(arguments: [true, false])
  func aDoubtedSizeIsUsedAgainOnlyWhenAProbePassesAndThePeerSeesItByThePieces(isBroken: Bool) {
    let world = large()
    let packet = [UInt8](repeating: 0x60, count: 1_400)
    world.alice.send(packet, now: world.now)
    world.bob.send(packet, now: world.now)
    world.run(for: .milliseconds(200))
    if isBroken { breakPath(world) }
    var actions: [SessionAction] = []
    let mark = world.sent.count
    world.alice.sessions[0].sizeDoubted(now: world.now, into: &actions)
    #expect(world.alice.session?.pathPayload == 1_232 && world.alice.session?.isPathDecided == false)
    (world.alice.packets, world.bob.packets) = ([], [])
    world.alice.send(packet, now: world.now)
    world.run(for: World.latency)
    #expect(world.bob.packets == [packet], "in two datagrams")
    world.bob.send(packet, now: world.now)
    world.run(for: .seconds(1))
    #expect(world.alice.packets == [packet], "in two datagrams")
    world.run(for: .seconds(4))
    #expect(world.alice.session?.pathPayload == (isBroken ? 1_232 : 1_452))
    #expect(world.bob.session?.pathPayload == (isBroken ? 1_232 : 1_452))
    if !isBroken { #expect(probes(world, since: mark) == [1_452]) }
  }

  /// One packet of 1,379 bytes from Alice each 100 ms, which a datagram of 1,412 takes; a small one from Bob.
  private func talk(_ world: World, for time: Duration) {
    for _ in 0..<Int(time / .milliseconds(100)) {
      world.alice.send([UInt8](repeating: 0x60, count: 1_379), now: world.now)
      world.bob.send([0x60], now: world.now)
      world.run(for: .milliseconds(100))
    }
  }

  @Test func whatIsAskedWhileNothingComesAtAllSaysNothingOfTheSize() {
    let world = large()
    talk(world, for: .seconds(2))
    world.fate = { _, _ in [] }
    talk(world, for: .seconds(9))
    world.fate = { _, _ in [World.latency] }
    talk(world, for: .seconds(2))
    #expect(world.alice.session?.pathPayload == 1_452 && world.alice.session?.isPathDecided == true)
  }

  @Test func aSearchForMoreDoesNotHideThatThePathHasShrunkAndIsNotHinderedByAsking() {
    let world = World()
    breakPath(world, over: 1_412)
    world.begin()
    world.run(for: .seconds(20))
    #expect(world.alice.session?.pathPayload == 1_412)
    // The search for more begins anew after 600 s, and asks for 1,452 first.
    let mark = world.sent.count
    while !probes(world, since: mark).contains(1_452), world.sent.count < 1_000_000 {
      talk(world, for: .seconds(1))
    }
    breakPath(world)
    talk(world, for: .milliseconds(2_500))
    #expect(world.alice.session?.pathPayload == 1_232)
    breakPath(world, over: 1_412)
    talk(world, for: .seconds(90))
    #expect(world.alice.session?.pathPayload == 1_412)
    #expect(probes(world, since: mark).count { $0 > 1_412 } <= 6)
    world.fate = { _, _ in [World.latency] }
    talk(world, for: .seconds(610))
    #expect(world.alice.session?.pathPayload == 1_452)
  }

  @Test func aProbeThatIsOvertakenByTheAnswerToACheckHasLittleTimeLeft() {
    let world = large()
    world.alice.send([UInt8](repeating: 0x60, count: 1_400), now: world.now)
    breakPath(world)
    var actions: [SessionAction] = []
    world.alice.sessions[0].pathAsked(now: world.now, into: &actions)
    #expect(actions.count == 1)
    world.alice.sessions[0].pathAnswered(now: world.now, into: &actions)
    #expect(world.alice.session?.pathPayload == 1_452)
    world.run(for: .milliseconds(260))
    #expect(world.alice.session?.pathPayload == 1_232)
  }

  @Test func whoSeesPiecesBecauseOfItsOwnDoubtDoesNotDoubtAgain() {
    let world = large()
    let packet = [UInt8](repeating: 0x60, count: 1_400)
    var lost = 0
    world.fate = { _, sent in
      guard sent.fromAlice, sent.bytes.count == 1_452, lost == 0 else { return [World.latency] }
      lost += 1
      return []
    }
    let mark = world.sent.count
    for _ in 0..<400 {
      world.alice.send(packet, now: world.now)
      world.bob.send(packet, now: world.now)
      world.run(for: .milliseconds(10))
    }
    // One that is lost, one in its place, and then one a second.
    #expect(lost == 1 && probes(world, since: mark).count(where: { $0 == 1_452 }) <= 4)
  }

  @Test func piecesFromWhoSentNothingLargerBeforeRaiseNoDoubt() {
    let world = World()
    // Alice's probes are lost, and so she never sends anything larger.
    world.fate = { _, sent in sent.fromAlice && sent.bytes.count > 1_232 ? [] : [World.latency] }
    world.begin()
    world.run(for: .seconds(15))
    #expect(world.bob.session?.pathPayload == 1_452)
    let mark = world.sent.count
    for _ in 0..<5 {
      world.alice.send([UInt8](repeating: 0x60, count: 1_400), now: world.now)
      world.run(for: .milliseconds(100))
      #expect(world.bob.session?.pathPayload == 1_452)
    }
    #expect(!world.sent[mark...].contains { !$0.fromAlice && $0.bytes.count > 1_232 })
  }

  @Test func aLargePathIsAskedAgainNoMoreThanEverySecond() {
    let world = large()
    let before = world.sent.count { $0.fromAlice && $0.bytes.count == 1_452 }
    for _ in 0..<60 {
      world.alice.send([UInt8](repeating: 0x60, count: 1_400), now: world.now)
      world.run(for: .seconds(1))
    }
    let probes = world.sent.count { $0.fromAlice && $0.bytes.count == 1_452 } - before
    #expect((20...60).contains(probes), "\(probes) in a minute")
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

  @Test func whatTheHostRefusesAsTooLargeIsNotSentAgainForAMinuteAndSmallerSizesAreAskedForAtOnce() {
    let world = large()
    breakPath(world, over: 1_420)
    var actions: [SessionAction] = []
    world.alice.sessions[0].pathRefused(size: 1_432, now: world.now, into: &actions)
    let sizes = actions.compactMap { if case .pathPayload(let size) = $0 { size } else { nil } }
    #expect(sizes == [1_232])
    let outcome = world.alice.send([UInt8](repeating: 0x60, count: 1_300), now: world.now)
    #expect(outcome == .two(first: 689, second: 689))
    world.run(for: .milliseconds(200))
    #expect(world.alice.session?.pathPayload == 1_412)
    world.fate = { _, _ in [World.latency] }
    world.run(for: .seconds(58))
    #expect(world.alice.session?.pathPayload == 1_412)
    world.run(for: .seconds(4))
    #expect(world.alice.session?.pathPayload == 1_452)
    actions = []
    world.alice.sessions[0].pathRefused(size: 1_400, now: world.now, into: &actions)
    world.alice.sessions[0].pathRefused(size: 1_400, now: world.now, into: &actions)
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
