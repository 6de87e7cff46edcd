import MeshCrypto
import MeshWire
import Testing

@testable import MeshRelay

@Suite("Create messages that should not be")
struct HostileCreateTests {
  /// The create message of a chain's client to its entry.
  private func created(_ world: RelayWorld) throws -> (circuit: UInt32, layer: [UInt8]) {
    for case .create(let circuit, let layer) in world.sent.map(\.message) { return (circuit, layer) }
    throw CancellationError()
  }

  private func outcome(_ world: inout RelayWorld, _ circuit: UInt32, _ layer: [UInt8]) -> CircuitEnd? {
    world.sent = []
    world.deliver(
      .init(from: world.clientKey, to: world.relayKeys[0], message: .create(circuit, layer)))
    world.run()
    for case .close(_, let end) in world.sent.filter({ $0.to == world.clientKey }).map(\.message) {
      return end
    }
    return nil
  }

  @Test("each position of a chain has its one size")
  func sizes() {
    #expect((0..<3).map(CreateLayout.size) == [5_020, 3_335, 1_650])
    // In control pieces of a path that carries 1,232: CreateCircuit's head is 5.
    #expect(CreateLayout.size(0) + 5 <= 12 * 1_193)
  }

  @Test("the same message makes one circuit, however often it comes and under whatever name")
  func repeated() throws {
    var world = try RelayWorld(relays: 1)
    world.build()
    let (circuit, layer) = try created(world)
    #expect(outcome(&world, circuit, layer) == nil)
    #expect(world.relays[0].circuitCount == 1)
    // Under another name it would seal other bytes with the same keys and numbers.
    #expect(outcome(&world, circuit ^ 1, layer) == .replayed)
    #expect(world.relays[0].circuitCount == 1)
    // Also after the circuit has ended.
    var actions: [RelayAction] = []
    world.relays[0].lost(world.clientKey.peerID, into: &actions)
    #expect(outcome(&world, circuit, layer) == .replayed)
    world.now = world.now + RelayLimits.replayMemory
    world.wall = world.wall + RelayLimits.replayMemory
    world.relays[0].advance(to: world.now, into: &actions)
    #expect(outcome(&world, circuit, layer) == .replayed, "forgotten, and out of its time")
  }

  @Test("lengths, versions, keys and ids that are none are refused without a key exchange")
  func malformed() throws {
    var world = try RelayWorld(relays: 1)
    world.fate = { _ in [] }
    world.build()
    world.fate = { [$0] }
    let (circuit, layer) = try created(world)
    for size in [0, 1, 1_649, 1_651, 3_334, 5_019, 5_021] {
      let bytes = Array((layer + layer).prefix(size))
      #expect(outcome(&world, circuit, bytes) == .malformed)
    }
    var version = layer
    version[0] = 2
    #expect(outcome(&world, circuit, version) == .malformed)
    var key = layer
    key[1] ^= 1
    #expect(outcome(&world, circuit, key) == .unknownKey)
    #expect(outcome(&world, circuit ^ 1 << 31, layer) == .malformed, "the relay's half of the ids")
    #expect(world.relays[0].circuitCount == 0)
    #expect(outcome(&world, circuit, layer) == nil)
    #expect(world.relays[0].circuitCount == 1)
  }

  @Test("a changed bit anywhere behind the head is noticed", arguments: [20, 900, 1_700, 3_000, 5_019])
  func altered(position: Int) throws {
    var world = try RelayWorld(relays: 1)
    world.fate = { _ in [] }
    world.build()
    world.fate = { [$0] }
    let (circuit, good) = try created(world)
    var layer = good
    layer[position] ^= 4
    #expect(outcome(&world, circuit, layer) == .malformed)
    #expect(world.relays[0].circuitCount == 0)
    #expect(world.relays[0].counters.ends[.malformed] == 1)
  }

  @Test("the clock of a create message may be ten minutes off, not more", arguments: [600, 601])
  func time(seconds: Int64) throws {
    for sign in [-1, 1] as [Int64] {
      var world = try RelayWorld(relays: 1)
      world.fate = { _ in [] }
      world.build()
      world.fate = { [$0] }
      let (circuit, layer) = try created(world)
      world.wall = world.wall + .seconds(sign * seconds)
      #expect(outcome(&world, circuit, layer) == (seconds == 600 ? nil : .replayed))
    }
  }

  @Test("a key that another relay shows as its own gives no circuit")
  func stolenKey() throws {
    var world = try RelayWorld(relays: 2)
    let path = world.path
    // The second relay's key in the first one's record.
    let stolen = RelayHop(
      keyHash: path[0].keyHash, endpoint: path[0].endpoint, onionKey: path[1].onionKey)
    world.build([stolen])
    #expect(world.ends == [.unknownKey])
  }

  @Test("no circuit leads to whoever builds it, back where it came from, or to the relay itself")
  func loops() throws {
    var world = try RelayWorld(relays: 2)
    let place = world.relays[1].reserve(
      for: world.relayKeys[0].peerID, prefix: nil, fresh: [UInt8](repeating: 6, count: 16), now: world.now)
    world.reservation = try #require(place).id
    world.build()
    #expect(world.ends == [.loop], "the first relay's own place at the second")
    let path = world.path
    let client = RelayHop(
      keyHash: world.clientKey, endpoint: path[0].endpoint, onionKey: path[0].onionKey)
    for chain in [[path[0], client], [path[0], path[0]], [], path + path] {
      let built = world.build(chain)
      #expect(built == nil)
    }
    world.ends = []
    // A client that isn't ours could ask for it all the same.
    for (number, next) in [world.relayKeys[0], world.clientKey].enumerated() {
      let secret = world.secrets[0]
      let (answer, shared) = try KeyExchangeSecret.answer(secret.offer)
      let keys = HopKeys(
        relay: world.relayKeys[0], onionKey: secret.offer, answer: answer, secret: shared)
      let inner = [UInt8](repeating: 0, count: CreateLayout.size(1))
      let layer = CreateLayer.seal(
        .extend(to: next, at: path[0].endpoint, layer: inner), position: 0, onionKey: secret.offer,
        answer: answer, keys: keys, time: world.wall)
      let id = RelayServer.circuitID(
        UInt32(number + 50), of: world.clientKey, toward: world.relayKeys[0])
      #expect(outcome(&world, id, layer) == .loop)
    }
  }

  @Test("without the reservation, or after its hour, nobody is put through")
  func reservations() throws {
    var world = try RelayWorld(relays: 1)
    world.reservation[3] ^= 1
    world.build()
    #expect(world.ends == [.noReservation])
    world.reservation[3] ^= 1
    let built = world.build()
    let circuit = try #require(built)
    #expect(world.ready == [circuit])
    world.wait(.seconds(3_599))
    #expect(world.client.isStanding(circuit))
    world.wait(.seconds(2))
    #expect(!world.client.isStanding(circuit))
    world.ends = []
    world.build()
    #expect(world.ends == [.noReservation])
  }
}
