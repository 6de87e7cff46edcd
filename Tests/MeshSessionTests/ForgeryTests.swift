import MeshCrypto
import MeshWire
import RepeatableRandom
import Testing

@testable import MeshSession

@Suite struct ForgeryTests {
  /// What alice makes of a forged M2; whether she is still waiting for a good one.
  private func outcome(
    of forged: ForgedResponder, knownKey: Bool = false
  ) throws -> (established: Bool, drops: [HandshakeDrop]) {
    let world = World()
    world.fate = { _, _ in [] }
    world.begin(knownKey: knownKey)
    world.run(for: .milliseconds(1))
    for datagram in try forged.answer(world.sent.map(\.bytes)) {
      world.alice.receive(datagram, from: world.bob.endpoint, now: world.now)
    }
    if world.alice.session == nil {
      // A bad M2 ends nothing: the real one still gets through.
      world.fate = { _, _ in [World.latency] }
      #expect(world.run(for: .seconds(5)) { world.isEstablished }, "goes on waiting")
      return (false, world.alice.drops)
    }
    return (true, world.alice.drops)
  }

  @Test func theForgedResponderIsGoodWhenNothingIsForged() throws {
    #expect(try outcome(of: ForgedResponder()).established)
    #expect(try outcome(of: ForgedResponder(), knownKey: true).established)
  }

  @Test(arguments: SignatureContext.allCases.filter { $0 != .handshakeResponder })
  func aResponderSignatureOfAnyOtherContextIsRefused(context: SignatureContext) throws {
    let (established, drops) = try outcome(of: ForgedResponder(context: context))
    #expect(!established && drops.first == .badSignature)
  }

  @Test func anotherIdentitysSignatureIsRefused() throws {
    let (established, drops) = try outcome(of: ForgedResponder(identity: Identities.mallory), knownKey: true)
    #expect(!established && drops.first == .badSignature)
  }

  @Test func anotherKeyHashThanTheOneDialledIsRefused() throws {
    let mallory = Identities.mallory
    let honest = ForgedResponder(identity: mallory, claims: mallory.publicKey)
    #expect(try outcome(of: honest).drops.first == .wrongIdentity)
    let lying = ForgedResponder(
      identity: mallory, claims: mallory.publicKey, bodyKeyHash: Identities.bob.keyHash)
    #expect(try outcome(of: lying).drops.first == .wrongIdentity, "the key doesn't hash to it")
  }

  @Test func aWrongFinishedValueOfTheResponderIsRefused() throws {
    let forged = ForgedResponder(finished: { [$0[0] ^ 1] + $0[1...] })
    #expect(try outcome(of: forged).drops.first == .badFinished)
  }

  @Test func aLowOrderX25519AnswerIsRefused() throws {
    let forged = ForgedResponder(exchange: { answer in
      KeyExchangeAnswer([UInt8](repeating: 0, count: 32) + answer.bytes[32...]) ?? answer
    })
    #expect(try outcome(of: forged).drops.first == .keyExchangeRefused)
  }

  @Test func theForgedM3IsGoodWhenNothingIsForged() {
    let world = World()
    ForgedM3().deliver(to: world)
    #expect(world.bob.session?.peer == Identities.alice.keyHash)
  }

  @Test(arguments: SignatureContext.allCases.filter { $0 != .handshakeInitiator })
  func anInitiatorSignatureOfAnyOtherContextIsRefused(context: SignatureContext) {
    let world = World()
    ForgedM3(context: context).deliver(to: world)
    #expect(world.bob.session == nil && world.bob.drops.contains(.badSignature))
    #expect(world.bob.table.halfOpenCount == 0, "and ends the half-open")
  }

  @Test func anM3SignedBySomeoneElseIsRefused() {
    let world = World()
    ForgedM3(identity: Identities.mallory).deliver(to: world)
    #expect(world.bob.session == nil && world.bob.drops.contains(.badSignature))
  }

  @Test func aWrongFinishedValueOfTheInitiatorCostsNoSignatureCheck() {
    let world = World()
    ForgedM3(finished: { [$0[0] ^ 0x80] + $0[1...] }).deliver(to: world)
    #expect(world.bob.session == nil && world.bob.drops.contains(.badFinished))
    #expect(world.bob.jobs.count == 2, "an answer and a signature, no verification")
  }

  @Test func aKeyHashThatIsNotOfTheKeyIsRefused() {
    let world = World()
    ForgedM3(bodyKeyHash: Identities.mallory.keyHash).deliver(to: world)
    #expect(world.bob.session == nil && world.bob.drops.contains(.wrongIdentity))
    #expect(world.bob.jobs.count == 2)
  }

  @Test func aStrangerWithoutItsPublicKeyIsRefused() {
    let world = World()
    ForgedM3(sentKey: nil).deliver(to: world)
    #expect(world.bob.session == nil && world.bob.drops.contains(.missingPublicKey))
  }

  @Test func theClassesAreAskedBeforeTheSignatureIsChecked() {
    let world = World()
    var asked: [KeyHash] = []
    world.bob.admission = {
      asked.append($0)
      return .refuse
    }
    world.begin()
    world.run(for: .seconds(2))
    #expect(asked.first == Identities.alice.keyHash)
    #expect(world.bob.session == nil && world.bob.drops.contains(.notAdmitted))
    #expect(world.bob.jobs.count == 2, "an answer and a signature, no verification")
  }

  @Test func aLowOrderX25519OfferIsRefused() throws {
    let world = World()
    world.fate = { _, _ in [] }
    world.begin()
    world.run(for: .milliseconds(1))
    let initiator = try #require(world.alice.initiator)
    var body = initiator.m1
    body.replaceSubrange(0..<32, with: [UInt8](repeating: 0, count: 32))
    for index in 0..<2 {
      let datagram = M1Datagram.encode(
        body: body, index: index, count: 2, initiator: 5, cookie: [UInt8](repeating: 0, count: 16),
        mac1Key: Macs.mac1Key(responder: Identities.bob.keyHash))
      world.bob.receive(datagram, from: world.alice.endpoint, now: world.now)
    }
    #expect(world.bob.drops == [.keyExchangeRefused] && world.bob.outbox.isEmpty)
    #expect(world.bob.table.halfOpenCount == 0)
  }

  /// One bit of one datagram at a time: noticed, and of no consequence once it is sent again.
  @Test func aChangedBitInAnyDatagramOfTheHandshakeIsNoticedAndChangesNothing() {
    let whole = World()
    whole.begin(knownKey: false)
    whole.run(for: .seconds(1)) { whole.isEstablished }
    var generator = SplitMix64(seed: 11)
    for number in 0..<whole.sent.count {
      let size = whole.sent[number].bytes.count
      // Each field of the header, and somewhere in the rest.
      for byte in [1, 2, 3, 4, 5, 12, 13, 28, 29, Int.random(in: 30..<size, using: &generator), size - 1] {
        let world = World()
        var ignored = false
        let bit = UInt8(1) << UInt8.random(in: 0..<8, using: &generator)
        world.fate = { current, sent in
          guard current == number else { return [World.latency] }
          var changed = sent.bytes
          changed[byte] ^= bit
          let (to, from) =
            sent.fromAlice
            ? (world.bob, world.alice.endpoint) : (world.alice, world.bob.endpoint)
          // What isn't for any of her attempts alice's node doesn't hand to the core.
          ignored = to === world.alice && Initiator.id(in: changed.span) != to.initiator?.id
          to.receive(changed, from: from, now: world.now)
          return []
        }
        world.begin(knownKey: false)
        #expect(world.run(for: .seconds(6)) { world.isEstablished }, "datagram \(number), byte \(byte)")
        let noticed =
          (world.alice.drops + world.bob.drops).contains { $0 != .duplicate }
          || !(world.alice.transportDrops + world.bob.transportDrops).isEmpty
        #expect(ignored || noticed, "datagram \(number), byte \(byte)")
        #expect(world.alice.session?.epochs[0].root == world.bob.session?.epochs[0].root)
      }
    }
  }

  @Test func neitherIdentityIsInTheClear() throws {
    for knownKey in [true, false] {
      let world = World()
      world.begin(knownKey: knownKey)
      #expect(world.run(for: .seconds(1)) { world.isEstablished })
      for identity in [Identities.alice, Identities.bob] {
        for secret in [Array(identity.keyHash.bytes[..<16]), Array(identity.publicKey.bytes[..<16])] {
          for sent in world.sent {
            let found = (0...(sent.bytes.count - 16)).contains {
              sent.bytes[$0..<$0 + 16].elementsEqual(secret)
            }
            #expect(!found, "type \(sent.kind)")
          }
        }
      }
    }
  }
}
