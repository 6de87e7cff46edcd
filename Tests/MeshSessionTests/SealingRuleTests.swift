import MeshCrypto
import MeshWire
import Testing

@testable import MeshSession

/// What a session does not seal, and what it does not open although its tag holds.
@Suite struct SealingRuleTests {
  private func seal(_ size: Int, room: Int, in session: inout Session, at now: Instant) -> SealOutcome {
    let packet = [UInt8](repeating: 0x60, count: size)
    var output = [UInt8](repeating: 0, count: room)
    var span = output.mutableSpan
    return session.seal(packet.span, into: &span, now: now)
  }

  @Test func nothingIsSealedIntoABufferThatIsTooSmall() {
    let world = World.connected()
    var session = world.alice.sessions[0]
    #expect(seal(100, room: 132, in: &session, at: world.now) == .refused(.outputTooSmall))
    #expect(seal(100, room: 133, in: &session, at: world.now) == .one(133))
    session.pathPayload = Layout.basePayload
    #expect(seal(2_000, room: 2_077, in: &session, at: world.now) == .refused(.outputTooSmall))
    #expect(seal(2_000, room: 2_078, in: &session, at: world.now) == .two(first: 1_039, second: 1_039))
  }

  private func refusal(
    of message: [UInt8], in session: inout Session, at now: Instant
  ) -> SealRefusal? {
    var actions: [SessionAction] = []
    switch session.send(control: message, now: now, into: &actions) {
    case .success: return nil
    case .failure(let refusal):
      #expect(actions.isEmpty)
      return refusal
    }
  }

  @Test func controlMessagesKeepToTheLimitsOfTheKeysToo() {
    let world = World.connected()
    var session = world.alice.sessions[0]
    session.pathPayload = Layout.basePayload
    #expect(refusal(of: [], in: &session, at: world.now) == .empty)
    #expect(refusal(of: [6], in: &session, at: world.now) == nil)
    #expect(refusal(of: [6], in: &session, at: session.established + .seconds(180)) == .expired)
    session.epochs[0].counter = 1 << 28 - 2
    let threePieces = [UInt8](repeating: 6, count: 3 * 1_193)
    #expect(refusal(of: threePieces, in: &session, at: world.now) == .expired)
    #expect(refusal(of: [UInt8](repeating: 6, count: 2 * 1_193), in: &session, at: world.now) == nil)
    #expect(session.epochs[0].counter == 1 << 28)
    #expect(refusal(of: [6], in: &session, at: world.now) == .expired)
  }

  @Test func aSupersededSessionSendsNothing() {
    let world = World.connected()
    var session = world.alice.sessions[0]
    session.supersede(now: world.now)
    var actions: [SessionAction] = []
    session.confirm(now: world.now, into: &actions)
    #expect(actions.isEmpty)
    #expect(refusal(of: [6], in: &session, at: world.now) == .expired)
    #expect(seal(100, room: 200, in: &session, at: world.now) == .refused(.expired))
  }

  @Test func aPacketOfAnotherTypeOrWithReservedBytesIsNotOpenedThoughItsTagHolds() {
    let world = World.connected()
    let epoch = world.alice.sessions[0].epochs[0]
    func datagram(_ counter: UInt64, _ change: (inout [UInt8]) -> Void) -> [UInt8] {
      var header: [UInt8] = [1, 0, 0, 0]
      header.append(bigEndian: epoch.peerIndex)
      header.append(bigEndian: counter)
      change(&header)
      let (text, tag) = epoch.sealing.seal([1, 0x60], counter: counter, associated: header)
      return header + text + tag
    }
    world.bob.open(datagram(1_000) { $0[0] = 2 }, 0, world.now)
    for reserved in 1...3 { world.bob.open(datagram(1_001) { $0[reserved] = 1 }, 0, world.now) }
    #expect(world.bob.packets.isEmpty)
    #expect(world.bob.transportDrops == Array(repeating: .malformed, count: 4))
    world.bob.open(datagram(1_002) { _ in }, 0, world.now)
    #expect(world.bob.packets == [[0x60]])
  }

  @Test func aSessionIsConfirmedOnce() {
    let world = World.connected()
    for number in 0..<3 as Range<UInt8> { world.bob.send([0x60, number], now: world.now) }
    world.run(for: .milliseconds(100))
    #expect(world.alice.packets.count == 3 && world.alice.confirmations == 1)
  }

  /// A control message of alice's to bob; what bob dropped for it.
  private func give(_ message: [UInt8], to world: World) -> TransportDrop? {
    let drops = world.bob.transportDrops.count
    let datagram = world.alice.sessions[0].sealWhole([ContentKind.control.rawValue] + message)
    world.bob.receive(datagram, from: world.alice.endpoint, now: world.now)
    return world.bob.transportDrops.count > drops ? world.bob.transportDrops.last : nil
  }

  @Test func aProbeIsAnsweredOnlyWhenItIsAsLongAsItSaysAndEmpty() {
    let world = World.connected()
    // 32 bytes of header and tag, 1 of kind, 3 of the probe itself, 64 zeros.
    let zeros = [UInt8](repeating: 0, count: 64)
    #expect(give([PathProbe.request, 0, 101] + zeros, to: world) == .probeRefused)
    #expect(give([PathProbe.request, 5, 172] + zeros, to: world) == .probeRefused)
    #expect(give([PathProbe.request, 0, 100] + zeros.dropLast() + [1], to: world) == .probeRefused)
    #expect(give([PathProbe.request, 0, 100] + zeros, to: world) == nil)
  }

  @Test func anAnswerForAnotherSizeOrToNoProbeProvesNothing() {
    let world = World.connected()
    world.bob.sessions[0].probe.start(now: world.now)
    world.bob.sessions[0].pathPayload = Layout.basePayload
    let proving = [PathProbe.answer, UInt8(1_452 >> 8), UInt8(1_452 & 0xff)]
    #expect(give(proving, to: world) == .probeRefused, "none is out")
    var actions: [SessionAction] = []
    world.bob.sessions[0].fireProbe(world.now, &actions)
    #expect(give([PathProbe.answer, 0x20, 0], to: world) == .probeRefused)
    #expect(world.bob.session?.pathPayload == Layout.basePayload)
    #expect(give(proving, to: world) == nil)
    #expect(world.bob.session?.pathPayload == 1_452)
  }
}
