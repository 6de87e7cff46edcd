import MeshCrypto
import MeshWire
import Testing

@testable import MeshSession

@Suite struct HandshakeTests {
  @Test(arguments: AEADSuite.allCases, [true, false])
  func bothEndsAgreeOnIdentitiesKeysAndIndexes(suite: AEADSuite, knownKey: Bool) throws {
    let world = World(bobSuites: [suite])
    world.begin(knownKey: knownKey, sendsPublicKey: true, suites: [suite])
    #expect(world.run(for: .seconds(1)) { world.isEstablished })
    let a = try #require(world.alice.session)
    let b = try #require(world.bob.session)
    #expect(a.peer == world.bob.identity.keyHash)
    #expect(b.peer == world.alice.identity.keyHash)
    #expect(a.suite == suite && b.suite == suite)
    #expect(a.handshakeHash == b.handshakeHash)
    #expect(a.epochs[0].root == b.epochs[0].root)
    #expect(a.epochs[0].peerIndex == b.receiveIndexes[0])
    #expect(b.epochs[0].peerIndex == a.receiveIndexes[0])
    #expect(world.alice.confirmations == 1)
    #expect(world.bob.table.halfOpenCount == 0)
    for size in [1, 20, 1_199, 1_200, 1_280, 2_386] {
      let packet = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
      world.alice.send(packet, now: world.now)
      world.bob.send(packet.reversed(), now: world.now)
      world.run(for: .milliseconds(30))
      #expect(world.bob.packets.last == packet)
      #expect(world.alice.packets.last == packet.reversed())
    }
    #expect(world.alice.drops.isEmpty && world.bob.drops.isEmpty)
    #expect(world.alice.transportDrops.isEmpty && world.bob.transportDrops.isEmpty)
  }

  @Test(arguments: [true, false], [true, false])
  func datagramCountsAndSizesAreThoseOfTheSpecification(knownKey: Bool, sendsKey: Bool) throws {
    let world = World()
    world.bob.admission = { _ in .accept(knownKey: Identities.alice.publicKey) }
    world.begin(knownKey: knownKey, sendsPublicKey: sendsKey)
    #expect(world.run(for: .seconds(1)) { world.isEstablished })
    #expect(world.sentCount(2, fromAlice: true) == (knownKey ? 2 : 3))
    #expect(world.sentCount(4, fromAlice: false) == 2)
    #expect(world.sentCount(5, fromAlice: false) == (knownKey ? 4 : 7))
    #expect(world.sentCount(6, fromAlice: true) == (sendsKey ? 7 : 4))
    #expect(world.sentCount(7, fromAlice: true) + world.sentCount(7, fromAlice: false) == 0)
    #expect(world.sent.filter { $0.kind == 2 }.allSatisfy { $0.bytes.count == 1_232 })
    #expect(world.sent.filter { $0.kind != 1 }.allSatisfy { $0.bytes.count <= 1_232 })
    let m4 = try #require(world.sent.first { $0.kind == 1 && !$0.fromAlice })
    #expect(m4.bytes.count == 32)
    let toBob = world.sent.filter { $0.kind == 2 }.reduce(0) { $0 + $1.bytes.count }
    let m2 = world.sent.filter { $0.kind == 4 || $0.kind == 5 }.reduce(0) { $0 + $1.bytes.count }
    #expect(m2 <= 3 * toBob, "M1's padding pays for M2")
  }

  @Test func theArithmeticOfTheSpecificationHolds() {
    #expect(Layout.m1HeaderSize + Layout.m1FragmentSize == 1_232)
    #expect(Layout.headerSize + Layout.fragmentSize == 1_232)
    #expect(
      Layout.m1BodySize == Layout.offerSize + Layout.randomSize + Layout.m1CapsSize
        && Layout.m2aBodySize == Layout.idSize + Layout.offerSize + Layout.m2aCapsSize)
    #expect(
      Layout.identityBodySize == Layout.keyHashSize + Layout.signatureSize + Layout.finishedSize
        && Layout.identityBodySizeWithKey == Layout.identityBodySize + Layout.publicKeySize)
    #expect(Layout.fragmentCount(Layout.m2aBodySize) == 2)
    #expect(Layout.fragmentCount(Layout.identityBodySize) == 4)
    #expect(Layout.fragmentCount(Layout.identityBodySizeWithKey) == 7)
    #expect(Layout.m1FragmentSize + Layout.m1RandomInFragment == Layout.m1RandomOffset)
    #expect(Layout.probedPayloads.last == 1_500 - 40 - 8 && Layout.basePayload == 1_280 - 40 - 8)
  }

  @Test func theInitiatorMaySendWithItsSecondFlight() throws {
    let world = World()
    world.begin()
    world.run(for: .seconds(1)) { world.alice.session != nil }
    #expect(world.now - World.start == World.latency * 2, "one round trip")
    #expect(world.alice.session?.isConfirmed == false)
    world.alice.send([0x60, 1, 2, 3], now: world.now)
    world.run(for: .seconds(1)) { world.isEstablished }
    #expect(world.bob.packets == [[0x60, 1, 2, 3]])
  }

  @Test func theSuiteIsTheRespondersFirstThatWasOffered() {
    let world = World(bobSuites: [.chaCha20Poly1305, .aes256GCM])
    world.begin(suites: [.aes256GCM, .chaCha20Poly1305])
    #expect(world.run(for: .seconds(1)) { world.isEstablished })
    #expect(world.bob.session?.suite == .chaCha20Poly1305)
  }

  @Test func nothingInCommonIsSilence() {
    let world = World(bobSuites: [.chaCha20Poly1305])
    world.begin(suites: [.aes256GCM])
    #expect(!world.run(for: .seconds(31)) { world.isEstablished })
    #expect(world.sent.allSatisfy { $0.fromAlice })
    #expect(world.bob.drops.contains(.noCommonSuite))
    #expect(world.bob.table.halfOpenCount == 0)
    #expect(world.alice.failures == [.timedOut])
  }

  @Test func theIntervalsAreHalfASecondAndTwiceAsLongUpToTwoSecondsWithJitter() {
    let world = World()
    world.fate = { _, _ in [] }
    world.begin()
    world.run(for: .seconds(40))
    let moments = world.sent.filter { $0.bytes[3] == 0 }.map(\.at)
    let gaps = zip(moments, moments.dropFirst()).map { $1 - $0 }
    for (gap, expected) in zip(gaps, [500, 1_000] + repeatElement(2_000, count: 20)) {
      #expect(gap >= .milliseconds(expected * 9 / 10) && gap <= .milliseconds(expected * 11 / 10))
    }
    #expect((14...17).contains(gaps.count))
    #expect(world.alice.failures == [.timedOut])
    #expect(world.alice.initiator?.nextDeadline == nil)
  }
}
