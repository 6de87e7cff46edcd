import MeshCrypto
import MeshWire
import Testing

@testable import MeshRelay

@Suite("Circuits of one to three relays")
struct CircuitTests {
  private let datagram = (0..<1_341).map { UInt8(truncatingIfNeeded: $0 * 7) }

  @Test("what goes in comes out at the other end, both ways, in cells of one size", arguments: [1, 2, 3])
  func roundTrip(hops: Int) throws {
    var world = try RelayWorld(relays: hops)
    let built = world.build()
    let circuit = try #require(built)
    #expect(world.ready == [circuit])
    for size in [1, 1_232, 1_341] { world.send(Array(datagram.prefix(size)), circuit) }
    #expect(world.received == [1, 1_232, 1_341].map { Array(datagram.prefix($0)) })
    let back = try #require(world.inbound.first)
    #expect(Set(world.inbound) == [back])
    for size in [1, 1_341] { world.answer(Array(datagram.prefix(size)), back) }
    #expect(world.answers == [1, 1_341].map { Array(datagram.prefix($0)) })
    #expect(world.holder.hops(of: back) == hops)
    for case .cell(let cell) in world.sent.map(\.message) { #expect(cell.count == 1_419) }
    // No larger datagram goes in.
    world.send(datagram + [0], circuit)
    #expect(world.received.count == 3)
    #expect(world.client.drops[.tooLarge] == 1)
  }

  @Test("a cell looks different on every link: nothing of it but its size stays")
  func unlinkable() throws {
    var world = try RelayWorld(relays: 3)
    let built = world.build()
    let circuit = try #require(built)
    world.send(datagram, circuit)
    let links = [world.clientKey] + world.relayKeys + [world.holderKey]
    let cells = try zip(links, links.dropFirst()).map { try #require(world.cells($0, $1).last) }
    #expect(cells.count == 4)
    for (index, cell) in cells.enumerated() {
      for other in cells[(index + 1)...] {
        // Random bytes agree in one place of 256; the zeros at the end of two bodies are left out.
        let alike = zip(cell.prefix(1_341), other.prefix(1_341)).count { $0 == $1 }
        #expect(alike < 40)
      }
    }
  }

  @Test("each relay takes each cell once, and none that was changed", arguments: [0, 1, 2])
  func replayed(relay: Int) throws {
    var world = try RelayWorld(relays: 3)
    let built = world.build()
    let circuit = try #require(built)
    let before = relay == 0 ? world.clientKey : world.relayKeys[relay - 1]
    world.send([1, 2, 3], circuit)
    let cell = try #require(world.cells(before, world.relayKeys[relay]).last)
    func again(_ cell: [UInt8]) {
      world.deliver(.init(from: before, to: world.relayKeys[relay], message: .cell(cell)))
      world.run()
    }
    again(cell)
    #expect(world.received.count == 1)
    #expect(world.relays[relay].counters.drops[.replayed] == 1)
    world.fate = { _ in [] }
    world.send([4], circuit)
    world.fate = { [$0] }
    // A new cell, lost on the way; here it comes changed first.
    let fresh: [UInt8]
    if relay == 0 {
      fresh = try #require(world.cells(world.clientKey, world.relayKeys[0]).last)
    } else {
      let lost = try #require(world.cells(world.clientKey, world.relayKeys[0]).last)
      let target = world.relayKeys[relay]
      world.fate = { $0.to == target ? [] : [$0] }
      world.deliver(.init(from: world.clientKey, to: world.relayKeys[0], message: .cell(lost)))
      world.run()
      world.fate = { [$0] }
      fresh = try #require(world.cells(before, target).last)
    }
    for position in [4, 700, 1_330] {
      var changed = fresh
      changed[position] ^= 1
      again(changed)
    }
    #expect(world.received.count == 1)
    #expect(world.relays[relay].counters.drops[.unauthenticated] == 3)
    again(fresh)
    #expect(world.received == [[1, 2, 3], [4]])
  }

  @Test("the client takes each cell once, in whatever order, and none that was changed")
  func clientRefuses() throws {
    var world = try RelayWorld(relays: 2)
    let built = world.build()
    let circuit = try #require(built)
    world.send([1], circuit)
    let back = try #require(world.inbound.first)
    let client = world.clientKey
    world.fate = { $0.to == client ? [] : [$0] }
    for number in 0..<5 as Range<UInt8> { world.answer([number], back) }
    world.fate = { [$0] }
    let cells = world.cells(world.relayKeys[0], client).suffix(5)
    for cell in cells.reversed() + cells {
      world.deliver(.init(from: world.relayKeys[0], to: client, message: .cell(cell)))
    }
    #expect(world.answers == [[4], [3], [2], [1], [0]])
    #expect(world.client.drops[.replayed] == 5)
    var forged = try #require(cells.first)
    forged[1_400] ^= 1
    world.deliver(.init(from: world.relayKeys[0], to: client, message: .cell(forged)))
    #expect(world.answers.count == 5)
  }

  @Test("a lost create message is said again, and answers that were lost too")
  func loss() throws {
    var world = try RelayWorld(relays: 3)
    let last = world.relayKeys[2]
    var lost = 0
    // The first create to the last relay, and the first cell back.
    world.fate = { sent in
      switch sent.message {
      case .create where sent.to == last && lost == 0, .cell where lost == 1:
        lost += 1
        return []
      default: return [sent]
      }
    }
    let built = world.build()
    let circuit = try #require(built)
    #expect(world.ready.isEmpty)
    world.wait(.seconds(8))
    #expect(lost == 2)
    #expect(world.ready == [circuit])
    world.send([9], circuit)
    #expect(world.received == [[9]])
    #expect(world.relays.map(\.circuitCount) == [1, 1, 1])
  }

  @Test("a circuit through which nothing comes back any more is found within 3 s of sending, and ended")
  func silence() throws {
    var world = try RelayWorld(relays: 2)
    let built = world.build()
    let circuit = try #require(built)
    world.send([1], circuit)
    world.wait(.seconds(5))
    let (second, holder) = (world.relayKeys[1], world.holderKey)
    world.fate = { $0.to == holder || $0.from == second ? [] : [$0] }
    world.send([2], circuit)
    world.wait(.milliseconds(2_000))
    #expect(world.ends.isEmpty)
    world.wait(.milliseconds(1_000))
    #expect(world.ends == [.silent])
    #expect(world.relays[0].circuitCount == 0)
    #expect(world.client.count == 0)
  }

  @Test("a quiet circuit is kept by empty cells for as long as it stands")
  func quiet() throws {
    var world = try RelayWorld(relays: 3)
    let built = world.build()
    let circuit = try #require(built)
    world.send([1], circuit)
    world.wait(.seconds(600))
    #expect(world.client.isStanding(circuit))
    #expect(world.relays.map(\.circuitCount) == [1, 1, 1])
    world.send([2], circuit)
    #expect(world.received == [[1], [2]])
  }

  @Test("who closes a circuit ends it everywhere")
  func closing() throws {
    var world = try RelayWorld(relays: 3)
    let built = world.build()
    let circuit = try #require(built)
    world.send([1], circuit)
    var actions: [CircuitAction] = []
    world.client.close(circuit, .closed, into: &actions)
    world.perform(actions, of: world.clientKey)
    world.run()
    #expect(world.relays.map(\.circuitCount) == [0, 0, 0])
    #expect(world.holder.count == 0)
  }
}
