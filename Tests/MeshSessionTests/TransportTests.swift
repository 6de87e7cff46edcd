import MeshCrypto
import MeshWire
import RepeatableRandom
import Testing

@testable import MeshSession

@Suite struct TransportTests {
  /// A node finds the session by the index; whatever it passes on by mistake is dropped.
  @Test func aPacketForAnotherReceiverIndexIsDropped() throws {
    let world = World.connected()
    world.alice.send([0x60], now: world.now)
    var datagram = try #require(world.alice.outbox.last?.datagram)
    datagram[7] ^= 1
    var actions: [SessionAction] = []
    var span = datagram.mutableSpan
    let outcome = world.bob.sessions[0].open(&span, now: world.now, into: &actions)
    #expect(outcome == .dropped(.unknownIndex) && actions.isEmpty)
  }

  @Test func aSessionIsConfirmedByItsFirstPacketAndNoLaterOne() throws {
    let world = World.connected()
    let first = try #require(world.alice.session?.confirmedAt)
    world.run(for: .seconds(5))
    world.bob.send([0x60], now: world.now)
    world.run(for: .seconds(1))
    #expect(world.alice.session?.confirmedAt == first && world.alice.packets.count == 1)
  }

  @Test func replayWindowHoldsTheEdgesOfRFC6479() {
    var window = ReplayWindow()
    #expect(window.admits(0))
    window.mark(0)
    #expect(!window.admits(0), "0 came")
    window.mark(2_047)
    #expect(!window.admits(0), "still remembered: 2,048 counters back from 2,047 is 0")
    #expect(window.admits(1))
    window.mark(2_048)
    #expect(!window.admits(0), "below the window")
    #expect(window.admits(1), "the oldest that the window still spans")
    window.mark(1)
    #expect(!window.admits(1))
    window.mark(2_049)
    #expect(!window.admits(1))
    #expect(window.admits(2))
    window.mark(1 << 27)
    #expect(!window.admits(2_049) && !window.admits(1 << 27))
    #expect(window.admits(1 << 27 - 2_047) && !window.admits(1 << 27 - 2_048))
    #expect(window.admits(1 << 27 + 1))
  }

  /// Against a set that forgets nothing: same answers inside the window, whatever the jumps over the ring.
  @Test func replayWindowAgreesWithASetThroughJumpsAndWraps() {
    var generator = SplitMix64(seed: 7)
    var window = ReplayWindow()
    var seen: Set<UInt64> = []
    var top: UInt64 = 0
    for _ in 0..<40_000 {
      let jump = UInt64.random(in: 0...(Bool.random(using: &generator) ? 70 : 2_200), using: &generator)
      let counter =
        Bool.random(using: &generator) ? top + jump / 16 : top - min(top, jump)
      let expected = !seen.contains(counter) && (counter > top || top - counter < 2_048)
      #expect(window.admits(counter) == expected || (seen.isEmpty && counter == 0))
      guard expected else { continue }
      window.mark(counter)
      seen.insert(counter)
      top = max(top, counter)
    }
  }

  @Test(arguments: AEADSuite.allCases)
  func noPacketIsAcceptedTwiceInWhateverOrder(suite: AEADSuite) throws {
    let world = World.connected(suite: suite)
    world.fate = { _, _ in [] }
    let before = world.sent.count
    for number in 0..<300 {
      world.alice.send([0x60, 0, UInt8(number & 0xff), UInt8(number >> 8)], now: world.now)
    }
    world.run(for: .milliseconds(1))
    var generator = SplitMix64(seed: 3)
    let datagrams = world.sent[before...].map(\.bytes).filter { $0.count == 37 }
    #expect(datagrams.count == 300)
    for datagram in (datagrams + datagrams + datagrams).shuffled(using: &generator) {
      world.bob.receive(datagram, from: world.alice.endpoint, now: world.now)
    }
    #expect(world.bob.packets.count == 300)
    #expect(Set(world.bob.packets).count == 300)
    #expect(world.bob.transportDrops.filter { $0 == .replayed }.count == 600)
  }

  @Test func aChangedBitAnywhereInAPacketIsRefusedAndMovesNoWindow() throws {
    let world = World.connected()
    world.fate = { _, _ in [] }
    world.alice.send([0x60, 1, 2, 3, 4], now: world.now)
    world.run(for: .milliseconds(1))
    let datagram = try #require(world.sent.last { $0.fromAlice && $0.bytes.count == 38 }?.bytes)
    for bit in 0..<datagram.count * 8 {
      var changed = datagram
      changed[bit / 8] ^= 1 << (bit % 8)
      world.bob.receive(changed, from: world.alice.endpoint, now: world.now)
    }
    for count in 0..<datagram.count {
      world.bob.receive(Array(datagram[..<count]), from: world.alice.endpoint, now: world.now)
    }
    #expect(world.bob.packets.isEmpty)
    world.bob.receive(datagram, from: world.alice.endpoint, now: world.now)
    #expect(world.bob.packets == [[0x60, 1, 2, 3, 4]])
  }

  @Test func unknownContentAndAnEmptyPacketBodyAreDropped() throws {
    let world = World.connected()
    for text in [[0x01], [0x02], [0x00, 1], [0x03], [0x11], [0x10, 1], [0xff]] as [[UInt8]] {
      let datagram = world.alice.sessions[0].sealWhole(text)
      world.bob.receive(datagram, from: world.alice.endpoint, now: world.now)
    }
    #expect(world.bob.packets.isEmpty && world.bob.controls.isEmpty)
    #expect(world.bob.transportDrops.count == 7)
  }

  @Test func packetsTooLargeForThePathTravelInTwoAndLargerOnesAreRefused() {
    let world = World.connected()
    world.fate = { _, sent in sent.bytes.count > 1_232 ? [] : [World.latency] }
    let fits = [UInt8](repeating: 0x60, count: 1_199)
    let two = [UInt8](repeating: 0x60, count: 1_200)
    let largest = [UInt8](repeating: 0x60, count: 2 * 1_193)
    #expect(world.alice.send(fits, now: world.now) == .one(1_232))
    #expect(world.alice.send(two, now: world.now) == .two(first: 639, second: 639))
    #expect(world.alice.send(largest, now: world.now) == .two(first: 1_232, second: 1_232))
    #expect(world.alice.send(largest + [1], now: world.now) == .refused(.tooLarge))
    #expect(world.alice.send([], now: world.now) == .refused(.empty))
    world.run(for: .seconds(1))
    #expect(world.bob.packets == [fits, two, largest])
    #expect(world.alice.session?.refusals[.tooLarge] == 1)
  }

  @Test(arguments: [1_452, 1_232])
  func aCellTravelsInOneDatagramOrInTwo(largest: Int) throws {
    let world = World.connected()
    world.fate = { _, sent in sent.bytes.count > largest ? [] : [World.latency] }
    world.run(for: .seconds(5))
    let cell = (0..<1_419).map { UInt8(truncatingIfNeeded: $0) }
    var output = [UInt8](repeating: 0, count: 1_600)
    var span = output.mutableSpan
    let outcome = world.alice.sessions[0].seal(cell: cell.span, into: &span, now: world.now)
    let sizes: [Int]
    switch outcome {
    case .one(let size): sizes = [size]
    case .two(let first, let second): sizes = [first, second]
    case .refused: sizes = []
    }
    #expect(sizes == (largest == 1_452 ? [1_452] : [749, 748]))
    for datagram in [Array(output[..<sizes[0]]), Array(output[sizes[0]...].prefix(sizes.last ?? 0))] {
      world.bob.receive(datagram, from: world.alice.endpoint, now: world.now)
    }
    #expect(world.bob.cells == [cell])
    #expect(world.bob.packets.isEmpty)
  }

  @Test func controlMessagesTravelInTwelvePiecesAtMost() throws {
    let world = World.connected()
    world.fate = { _, sent in sent.bytes.count > 1_232 ? [] : [World.latency] }
    for size in [1, 1_199, 1_200, 7_200, 12 * 1_193] {
      let message = [UInt8](repeating: 0x06, count: size)
      world.alice.send(control: message, now: world.now)
      world.run(for: .milliseconds(100))
      #expect(world.bob.controls.last == message)
    }
    world.alice.send(control: [UInt8](repeating: 6, count: 12 * 1_193 + 1), now: world.now)
    #expect(world.alice.session?.refusals[.tooLarge] == 1)
  }

  @Test func unfinishedMessagesAreBoundedInNumberAndTime() {
    var table = PieceTable()
    func piece(_ id: UInt8, _ index: UInt8, _ count: UInt8, _ size: Int = 10) -> [UInt8] {
      [0, 0, 0, id, index, count] + [UInt8](repeating: id, count: size)
    }
    func add(_ piece: [UInt8], control: Bool = false, at now: Instant = World.start) -> String {
      switch table.add(piece, of: control ? .controlPiece : .packetPiece, receiveIndex: 1, now: now) {
      case .waiting: "waiting"
      case .complete(let message): "complete \(message.count)"
      case .dropped(let reason): "\(reason)"
      }
    }
    for id in 0..<64 as Range<UInt8> { #expect(add(piece(id, 0, 2)) == "waiting") }
    #expect(add(piece(64, 0, 2)) == "piecesFull")
    #expect(add(piece(3, 1, 2)) == "complete 20")
    #expect(add(piece(4, 1, 3)) == "badPiece", "two pieces at most")
    #expect(add(piece(4, 0, 2)) == "badPiece", "held already")
    #expect(add(piece(4, 1, 2), control: true) == "badPiece", "of another kind")
    #expect(add(piece(4, 1, 2, 11)) == "badPiece", "the last is not the longest")
    #expect(add(piece(5, 2, 2)) == "badPiece")
    #expect(add(piece(5, 0, 1)) == "badPiece")
    #expect(add([0, 0, 0, 5, 1, 2]) == "badPiece")
    #expect(add(piece(70, 0, 2), at: World.start + .milliseconds(1_001)) == "waiting")
    #expect(table.count == 1, "the others ran out of time")
    #expect(table.takeExpired() == 62)
    var large = PieceTable()
    var taken = 0
    for id in 0..<64 as Range<UInt8> {
      for index in 0..<11 as Range<UInt8> {
        let outcome = large.add(
          piece(id, index, 12, 1_193), of: .controlPiece, receiveIndex: 1, now: World.start)
        if case .waiting = outcome { taken += 1_193 }
      }
    }
    #expect(taken > 120_000 && taken <= 128 * 1_024, "128 KiB in all")
  }

  @Test func sendingStopsAtTwoToTheTwentyEightPackets() {
    let world = World.connected()
    world.fate = { _, _ in [] }
    world.alice.sessions[0].epochs[0].counter = 1 << 28 - 1
    #expect(
      world.alice.send([UInt8](repeating: 0x60, count: 1_280), now: world.now) == .refused(.expired),
      "two packets need two counters")
    #expect(world.alice.send([0x60], now: world.now) == .one(34))
    #expect(world.alice.send([0x60], now: world.now) == .refused(.expired))
    #expect(world.alice.send([0x60], now: world.now) == .refused(.expired))
    #expect(world.alice.session?.epochs[0].counter == 1 << 28)
    #expect(world.alice.session?.refusals[.expired] == 3)
    world.run(for: .milliseconds(1))
    #expect(world.alice.wishes.contains(.keysExhausted))
  }

  @Test func aCounterBeyondTheLimitIsNotOpened() throws {
    let world = World.connected()
    world.fate = { _, _ in [] }
    world.alice.sessions[0].epochs[0].counter = 1 << 28
    let datagram = world.alice.sessions[0].sealWhole([1, 0x60])
    world.bob.receive(datagram, from: world.alice.endpoint, now: world.now)
    #expect(world.bob.packets.isEmpty && world.bob.transportDrops == [.expired])
  }

  @Test func withoutARekeySendingStopsAt180SecondsAndReceivingTenLater() throws {
    let world = World.connected()
    world.fate = { _, _ in [] }
    let late = world.alice.sessions[0].sealWhole([1, 0x60, 1])
    let later = world.alice.sessions[0].sealWhole([1, 0x60, 2])
    let created = try #require(world.bob.session?.established)
    world.run(for: (World.start + .seconds(179)) - world.now)
    #expect(world.alice.send([0x60], now: world.now) == .one(34))
    world.run(for: (created + .seconds(181)) - world.now)
    #expect(world.alice.send([0x60], now: world.now) == .refused(.expired))
    #expect(world.alice.wishes.contains(.keysExhausted))
    world.bob.open(late, 0, created + .milliseconds(189_900))
    #expect(world.bob.packets.count == 1)
    world.bob.open(later, 0, created + .milliseconds(190_000))
    #expect(world.bob.packets.count == 1)
    world.run(for: .seconds(30))
    #expect(world.alice.session?.isExpired == true && world.alice.session?.nextDeadline == nil)
    #expect(world.alice.retired.contains(try #require(world.alice.session?.epochs.first?.receiveIndex)))
  }

  @Test func silenceAfterSendingAsksForAHandshakeAndEndsTheLargePath() {
    let world = World.connected()
    world.run(for: .seconds(2))
    #expect(world.alice.session?.pathPayload == 1_452)
    #expect(world.bob.session?.pathPayload == 1_452)
    world.fate = { _, _ in [] }
    world.alice.send([0x60], now: world.now)
    world.run(for: .milliseconds(14_900))
    #expect(world.alice.wishes.isEmpty)
    world.run(for: .milliseconds(200))
    #expect(world.alice.wishes == [.silence])
    #expect(world.alice.session?.pathPayload == 1_232)
  }

  @Test func receivingDataIsAnsweredWithinTenSecondsSoThatNobodyTakesItForSilence() {
    let world = World.connected()
    world.run(for: .seconds(2))
    world.alice.send([0x60], now: world.now)
    world.run(for: .seconds(60))
    #expect(world.alice.wishes.isEmpty && world.bob.wishes.isEmpty)
  }

  @Test func aPathThatLosesLargeDatagramsStaysAt1232() {
    let world = World()
    world.fate = { _, sent in sent.bytes.count > 1_232 ? [] : [World.latency] }
    world.begin()
    world.run(for: .seconds(10))
    #expect(world.alice.session?.pathPayload == 1_232 && world.alice.session?.isConfirmed == true)
    #expect(world.sent.filter { $0.bytes.count == 1_452 && $0.fromAlice }.count == 3)
    #expect(world.alice.wishes.isEmpty)
  }

  @Test func aProbeAnswerThatNobodyAskedForChangesNothing() {
    let world = World.connected()
    world.fate = { _, _ in [] }
    world.run(for: .seconds(10))
    world.bob.outbox = []
    var actions: [SessionAction] = []
    _ = world.bob.sessions[0].send(control: [0x31, 0x05, 0xac], now: world.now, into: &actions)
    for case .send(let datagram) in actions {
      world.alice.receive(datagram, from: world.bob.endpoint, now: world.now)
    }
    #expect(world.alice.session?.pathPayload == 1_232)
    #expect(world.alice.transportDrops == [.probeRefused])
  }
}
