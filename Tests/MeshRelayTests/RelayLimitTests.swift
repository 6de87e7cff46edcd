import MeshCrypto
import MeshWire
import Testing

@testable import MeshRelay

@Suite("What a relay gives at most")
struct RelayLimitTests {
  private let start = Instant(nanoseconds: 1_000_000_000_000)

  private func peer(_ number: Int) throws -> PeerID {
    try #require(KeyHash(Primitives.sha256([UInt8(number & 255), UInt8(number >> 8)]))).peerID
  }

  @Test("the offered rate is a ceiling over everything, however many ask")
  func ceiling() throws {
    // 8 Mbit/s: a megabyte a second.
    var rate = RateLimit(rate: 1_000_000, now: start)
    let peers = try (0..<4).map(peer)
    var passed = 0
    var now = start
    for step in 0..<10_000 {
      now = start + .milliseconds(Int64(step))
      if step % 1_000 == 0 { rate.sweep(now: now) }
      for peer in peers where rate.admits(1_419, from: peer, now: now) { passed += 1_419 }
    }
    // Ten seconds, and what the bucket held at first.
    #expect(passed <= 10_000_000 + 250_000)
    #expect(passed >= 9_900_000)
  }

  @Test("a neighbour that floods leaves others their share, and takes all when nobody else asks")
  func fairness() throws {
    var rate = RateLimit(rate: 1_000_000, now: start)
    let (flooder, modest) = (try peer(1), try peer(2))
    var passed = [flooder: 0, modest: 0]
    var refusedModest = 0
    for step in 0..<5_000 {
      let now = start + .milliseconds(Int64(step))
      if step % 1_000 == 0 { rate.sweep(now: now) }
      for _ in 0..<20 where rate.admits(1_419, from: flooder, now: now) { passed[flooder]! += 1_419 }
      // 280 kB/s: under half of the rate.
      if step % 5 == 0 {
        if rate.admits(1_419, from: modest, now: now) { passed[modest]! += 1_419 } else { refusedModest += 1 }
      }
    }
    #expect(refusedModest < 50)
    #expect(passed[flooder]! > 3_000_000)
    var alone = RateLimit(rate: 1_000_000, now: start)
    var all = 0
    for step in 0..<5_000 {
      let now = start + .milliseconds(Int64(step))
      for _ in 0..<4 where alone.admits(1_419, from: flooder, now: now) { all += 1_419 }
    }
    #expect(all > 4_900_000)
  }

  @Test("forty keys of one network have one network's share: they leave another's node its own")
  func networks() throws {
    var rate = RateLimit(rate: 1_000_000, now: start)
    let flooders = try (0..<40).map(peer)
    let modest = try peer(99)
    var (passed, refusedModest) = (0, 0)
    for step in 0..<5_000 {
      let now = start + .milliseconds(Int64(step))
      if step % 1_000 == 0 { rate.sweep(now: now) }
      for flooder in flooders where rate.admits(1_419, from: flooder, of: .v4(0xc633_6400), now: now) {
        passed += 1_419
      }
      // 280 kB/s, of the half that is its network's, once the bursts of the first second are over.
      if step >= 1_000, step % 5 == 0, !rate.admits(1_419, from: modest, of: .v4(0xcb00_7100), now: now) {
        refusedModest += 1
      }
    }
    #expect(refusedModest < 50)
    #expect(passed > 3_000_000)
  }

  @Test("whichever way cells go through a circuit, their sender's network is what counts")
  func bothWays() throws {
    var world = try RelayWorld(relays: 1)
    world.prefix = { _ in .v4(0xc633_6400) }
    let circuit = world.build()
    world.send([1, 2, 3], try #require(circuit))
    world.answer([4, 5, 6], try #require(world.inbound.first))
    #expect(world.received.count == 1 && world.answers.count == 1)
    #expect(world.relays[0].rate.count == 2)
    #expect(world.relays[0].rate.networkCount == 1)
  }

  @Test("shares are kept only for those that sent within the last seconds")
  func shares() throws {
    var rate = RateLimit(rate: 1e9, now: start)
    for number in 0..<1_000 { _ = rate.admits(1_419, from: try peer(number), now: start) }
    #expect(rate.count == 1_000)
    rate.sweep(now: start + .seconds(1))
    #expect(rate.count == 0)
  }

  @Test("cells over the rate are dropped and counted, and the circuit stands")
  func overRate() throws {
    var limits = RelayLimits(offer: 1)
    limits.bytesPerSecond = 0
    var world = try RelayWorld(relays: 1, limits: limits)
    let built = world.build()
    let circuit = try #require(built)
    for _ in 0..<100 { world.send([1], circuit) }
    #expect(world.received.count == 32)
    #expect(world.relays[0].counters.drops[.overRate] == 68)
    #expect(world.relays[0].circuitCount == 1)
  }

  @Test("a relay whose offer is taken back lets nothing through, and with a new one goes on")
  func offers() throws {
    var world = try RelayWorld(relays: 1)
    let built = world.build()
    let circuit = try #require(built)
    world.relays[0].setOffer(0, now: world.now)
    world.send([1], circuit)
    #expect(world.received.isEmpty)
    world.relays[0].setOffer(10, now: world.now)
    world.send([2], circuit)
    #expect(world.received == [[2]])
  }

  @Test("a circuit, and a reservation, end with their bytes")
  func bytes() throws {
    for isReservation in [true, false] {
      var limits = RelayLimits(offer: 100)
      if isReservation {
        limits.bytesPerReservation = 10 * 1_419
      } else {
        limits.bytesPerCircuit = 10 * 1_419
      }
      var world = try RelayWorld(relays: 1, limits: limits)
      let built = world.build()
      let circuit = try #require(built)
      for _ in 0..<12 { world.send([1], circuit) }
      #expect(world.received.count == 10)
      world.wait(.seconds(2))
      #expect(Set(world.ends) == [.exhausted])
      #expect(world.relays[0].circuitCount == 0)
    }
  }

  @Test("one place each; of one network, and in all, only so many")
  func reservations() throws {
    var limits = RelayLimits(offer: 100)
    limits.reservations = 20
    let own = try #require(KeyHash(Primitives.sha256([9])))
    var relay = RelayServer(own: own, limits: limits, now: start)
    func reserve(_ number: Int, _ prefix: UInt32?) throws -> ReservationGrant? {
      relay.reserve(
        for: try peer(number), prefix: prefix.map { .v4($0 << 8) },
        fresh: Array(Primitives.sha256([7, UInt8(number)]).prefix(16)), now: start)
    }
    let first = try reserve(0, 1)
    let again = try reserve(0, 1)
    #expect(first?.id == again?.id && first != nil)
    for number in 1..<16 { #expect(try reserve(number, 1) != nil) }
    #expect(try reserve(16, 1) == nil)
    for number in 17..<21 { #expect(try reserve(number, 2) != nil) }
    #expect(try reserve(30, 3) == nil)
    #expect(relay.reservationCount == 20)
    #expect(relay.counters.reservationsRefused == 2)
    var actions: [RelayAction] = []
    relay.advance(to: start + .seconds(3_600), into: &actions)
    #expect(relay.reservationCount == 0)
  }

  @Test("create messages are budgeted, and none costs a key exchange beyond its neighbour's share")
  func creates() throws {
    var world = try RelayWorld(relays: 1)
    for _ in 0..<8 { world.build() }
    #expect(world.relays[0].circuitCount == 8)
    world.build()
    #expect(world.ends == [.full])
    world.now = world.now + .seconds(1)
    world.build()
    #expect(world.relays[0].circuitCount == 9)
  }

  @Test("a neighbour has only so many circuits, and its lost session ends them all")
  func circuits() throws {
    var limits = RelayLimits(offer: 100)
    limits.circuitsPerNeighbour = 3
    var world = try RelayWorld(relays: 2, limits: limits)
    for _ in 0..<4 { world.build() }
    #expect(world.ready.count == 3)
    #expect(world.ends == [.full])
    var actions: [RelayAction] = []
    world.relays[1].lost(world.relayKeys[0].peerID, into: &actions)
    world.perform(actions, of: world.relayKeys[1])
    #expect(world.relays[1].circuitCount == 0)
    #expect(world.relays[1].links.isEmpty)
  }

  @Test("what is remembered of create messages is bounded, and goes with their time")
  func memory() {
    var memory = CreateMemory()
    for number in 0..<RelayLimits.remembered {
      let admitted = memory.admit(UInt128(number), now: start)
      #expect(admitted)
    }
    var admitted = memory.admit(.max, now: start)
    #expect(!admitted)
    memory.forget(now: start + RelayLimits.replayMemory)
    #expect(memory.count == 0)
    admitted = memory.admit(.max, now: start + RelayLimits.replayMemory)
    #expect(admitted)
  }

  @Test("circuits that others begin here are bounded, and only where a place is held")
  func inbound() throws {
    let own = try #require(KeyHash(Primitives.sha256([1])))
    let relay = try #require(KeyHash(Primitives.sha256([2])))
    var client = CircuitClient(own: own)
    var actions: [CircuitAction] = []
    func arrive(_ number: UInt32, held: Bool) -> CellContent {
      var cell = [UInt8](repeating: 0, count: 1_419)
      var span = cell.mutableSpan
      CellLayout.setCircuit(RelayServer.circuitID(number, of: relay, toward: own), &span)
      CellLayout.setCore([1, 2].span, hops: 1, &span)
      return client.open(&span, from: relay, reservedThere: held, now: start, into: &actions)
    }
    #expect(arrive(1, held: false) == .dropped(.unknownCircuit))
    for number in 0..<200 as Range<UInt32> { _ = arrive(number, held: true) }
    #expect(client.count == CircuitClient.inboundPerRelay)
    client.advance(to: start + RelayLimits.idle, into: &actions)
    #expect(client.count == 0)
  }
}
