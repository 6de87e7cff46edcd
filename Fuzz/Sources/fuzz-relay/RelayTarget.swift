import Harness
import MeshCrypto
import MeshWire

@testable import MeshRelay

/// A client, a relay and a node that reserved there: a circuit stands, and another create message is ready.
private struct Chain {
  static let client = key(1)
  static let relay = key(2)
  static let holder = key(3)

  var server: RelayServer
  var builder = CircuitClient(own: client)
  var reached = CircuitClient(own: holder)
  var now = Instant(nanoseconds: 1 << 40)
  var wall = WallTime(secondsSinceEpoch: 1_800_000_000)
  /// The second create message, which the relay has not seen.
  var circuit: UInt32 = 0
  var layer: [UInt8] = []
  var standing: CircuitNumber?
  var inbound: CircuitNumber?
  /// A key exchange that the relay has not seen either: whoever makes a layer says what is in it.
  let exchange: (keyID: [UInt8], answer: KeyExchangeAnswer, keys: HopKeys)
  /// Key exchanges that may still be performed.
  var jobsLeft = 8
  var cells: [[UInt8]] = []

  private static func key(_ number: UInt8) -> KeyHash {
    guard let key = KeyHash([UInt8](repeating: number, count: KeyHash.size)) else {
      preconditionFailure("32 bytes are a KeyHash")
    }
    return key
  }

  init() {
    server = RelayServer(own: Self.relay, limits: RelayLimits(offer: 1_000), now: now)
    guard
      let secret = try? KeyExchangeSecret(
        x25519Seed: [UInt8](repeating: 1, count: 32), mlkemSeed: [UInt8](repeating: 2, count: 64)),
      let place = server.reserve(
        for: Self.holder.peerID, prefix: nil, fresh: [UInt8](repeating: 4, count: 16), now: now)
    else { preconditionFailure("fixed seeds make keys") }
    server.add(onionKey: secret, week: 1)
    guard let (answer, shared) = try? KeyExchangeSecret.answer(secret.offer) else {
      preconditionFailure("a key exchange")
    }
    let keys = HopKeys(relay: Self.relay, onionKey: secret.offer, answer: answer, secret: shared)
    exchange = (secret.offer.keyID, answer, keys)
    let hop = RelayHop(
      keyHash: Self.relay, endpoint: Endpoint(.v4(0xc000_0201), port: 8_443), onionKey: secret.offer)
    for number in 0..<2 {
      var actions: [CircuitAction] = []
      let begun = builder.begin([hop], reservation: place.id, now: now, into: &actions)
      for case .compute(let circuit, let hop, .answer(let offer)) in actions {
        guard let (answer, secret) = try? KeyExchangeSecret.answer(offer) else { continue }
        var more: [CircuitAction] = []
        builder.computed(
          circuit, hop: hop, .answered(answer, secret), random: 77 + UInt32(number), now: now, wall: wall,
          into: &more)
        for case .create(let circuit, let layer, _, _) in more {
          (self.circuit, self.layer) = (circuit, layer)
        }
      }
      if number == 0 {
        create(circuit, layer, from: Self.client)
        standing = begun
        send([1, 2, 3])
      }
    }
    precondition(server.circuitCount == 1 && inbound != nil, "no circuit came about")
  }

  mutating func create(_ circuit: UInt32, _ layer: [UInt8], from neighbour: KeyHash) {
    var actions: [RelayAction] = []
    let outcome = server.create(circuit, layer, from: neighbour, prefix: nil, now: now, into: &actions)
    if case .compute(let ticket, .open(let answer, let secret)) = outcome, jobsLeft > 0 {
      jobsLeft -= 1
      let result: CryptoResult = (try? secret.open(answer)).map { .opened($0) } ?? .failed
      server.computed(
        ticket, result, random: 5, now: now, wall: wall,
        holder: { $0 == Self.holder.peerID ? Self.holder : nil }, into: &actions)
    }
    take(actions)
  }

  /// A layer that opens, whatever is in it.
  func layer(_ position: Int, with text: [UInt8]) -> [UInt8] {
    let head = [CreateLayout.version] + exchange.keyID + exchange.answer.bytes
    let room = CreateLayout.size(position) - CreateLayout.headSize - CreateLayout.tagSize
    let whole = text.prefix(room) + [UInt8](repeating: 0, count: max(0, room - text.count))
    let sealed = AEADKey(.aes256GCM, key: exchange.keys.create)
      .seal(Array(whole), counter: 0, associated: head)
    return head + sealed.text + sealed.tag
  }

  mutating func take(_ actions: [RelayAction]) {
    for action in actions {
      switch action {
      case .send(let cell, let peer):
        precondition(cell.count == CellLayout.cellSize, "a cell of another size")
        if peer == Self.client.peerID { deliver(cell, toHolder: false) }
      case .extend(let next, let endpoint, _, let layer):
        precondition(next != Self.relay, "a circuit leads back")
        precondition(endpoint.isDialable, "a relay is to dial what nobody may")
        precondition((0..<3).contains { CreateLayout.size($0) == layer.count }, "a layer of another size")
      case .close: break
      }
    }
  }

  /// What a datagram into the standing circuit looks like at the relay.
  func sealed(_ datagram: [UInt8]) -> (chain: Chain, cell: [UInt8])? {
    var chain = self
    var cell = [UInt8](repeating: 0, count: CellLayout.cellSize)
    var span = cell.mutableSpan
    guard let standing, case .success = chain.builder.seal(datagram.span, standing, into: &span, now: now)
    else { return nil }
    return (chain, cell)
  }

  mutating func send(_ datagram: [UInt8]) {
    guard let (chain, cell) = sealed(datagram) else { return }
    self = chain
    cells.append(cell)
    pass(cell, from: Self.client)
  }

  /// A cell comes to the relay.
  mutating func pass(_ cell: [UInt8], from neighbour: KeyHash) {
    var cell = cell
    var span = cell.mutableSpan
    guard case .forward(let next) = server.relay(&span, from: neighbour.peerID, of: nil, now: now) else {
      return
    }
    precondition(cell.count == CellLayout.cellSize, "a cell of another size")
    if next == Self.holder.peerID { deliver(cell, toHolder: true) }
    if next == Self.client.peerID { deliver(cell, toHolder: false) }
  }

  mutating func deliver(_ cell: [UInt8], toHolder: Bool) {
    var cell = cell
    var span = cell.mutableSpan
    var actions: [CircuitAction] = []
    let content =
      toHolder
      ? reached.open(&span, from: Self.relay, reservedThere: true, now: now, into: &actions)
      : builder.open(&span, from: Self.relay, reservedThere: false, now: now, into: &actions)
    if case .datagram(let number, let range) = content {
      precondition(range.count <= CellLayout.largestPayload && range.upperBound <= cell.count, "too large")
      if toHolder { inbound = inbound ?? number }
    }
  }
}

// why: libFuzzer calls from one thread; every input begins with a copy of it
nonisolated(unsafe) private let base = Chain()

/// Cells and create messages from neighbours, whole, changed and made up, outside and within the seal; time.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ first: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var input = FuzzInput(first, count)
  var chain = base
  var steps = 0
  while !input.isEmpty, steps < 40 {
    steps += 1
    let action = input.byte()
    let neighbour = [Chain.client, Chain.holder, Chain.relay][Int(action >> 4) % 3]
    switch action % 9 {
    case 0: chain.pass(input.changed(chain.cells.last ?? []), from: neighbour)
    case 1: chain.pass(input.field(), from: neighbour)
    case 2: chain.create(chain.circuit, input.changed(chain.layer), from: neighbour)
    case 3: chain.create(UInt32(input.uint16()), input.field(), from: neighbour)
    case 4: chain.deliver(input.changed(chain.cells.last ?? []), toHolder: action & 0x10 != 0)
    case 5:
      chain.send(input.field())
      if let inbound = chain.inbound {
        var cell = [UInt8](repeating: 0, count: CellLayout.cellSize)
        var span = cell.mutableSpan
        if case .success = chain.reached.seal(input.field().span, inbound, into: &span, now: chain.now) {
          chain.pass(cell, from: Chain.holder)
        }
      }
    case 6:
      var actions: [RelayAction] = []
      _ = chain.server.closed(
        UInt32(input.uint16()), .closed, by: neighbour.peerID, into: &actions)
      chain.take(actions)
    case 7:
      let position = Int(input.byte() % 3)
      let circuit = RelayServer.circuitID(UInt32(input.uint16()), of: neighbour, toward: Chain.relay)
      var text = input.field()
      // The time, put right.
      if action >= 0x90, text.count >= 9 {
        let now = chain.wall.secondsSinceEpoch
        for byte in 0..<8 { text[1 + byte] = UInt8(truncatingIfNeeded: now >> UInt64(56 - 8 * byte)) }
      }
      chain.create(circuit, chain.layer(position, with: text), from: neighbour)
    default:
      let step = Duration.milliseconds(Int(input.byte()) * 100)
      chain.now = chain.now + step
      var actions: [RelayAction] = []
      chain.server.advance(to: chain.now, into: &actions)
      chain.take(actions)
      var mine: [CircuitAction] = []
      chain.builder.advance(to: chain.now, into: &mine)
    }
    precondition(chain.server.circuitCount <= 40, "more circuits than create messages")
  }
  return 0
}

/// Writes the seed inputs when asked to.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_: UnsafeMutableRawPointer?, _: UnsafeMutableRawPointer?) -> CInt {
  SeedCorpus.writeIfAsked {
    let data = [UInt8](repeating: 7, count: 200)
    var there = ByteWriter()
    there.write(Endpoint(.v4(0xc000_0401), port: 8_443))
    let extended = Chain.holder.bytes + there.bytes
    /// In a layer from the client, at the right time.
    func command(_ command: UInt8, position: UInt8, _ rest: [UInt8]) -> [UInt8] {
      [0x97, position, 0, position] + ([command] + [UInt8](repeating: 0, count: 8) + rest).asField
    }
    return [
      ("traffic", [5] + data.asField + data.asField + [5] + data.asField + [0, 0]),
      ("replayed", [0, 0, 0, 0, 4, 0]),
      ("altered", [0, 3, 0, 9, 1, 2, 2, 2, 4, 4, 4, 0x10, 1, 0, 8, 8]),
      ("created", [2, 0, 2, 0, 0x12, 1, 0, 20, 1]),
      ("made-up", [3, 0, 1] + [UInt8](repeating: 1, count: 1_650).asField + [1] + data.asField),
      ("ends", command(2, position: 2, [UInt8](repeating: 4, count: 16)) + [5] + data.asField + data.asField),
      ("extends", command(1, position: 1, extended) + command(1, position: 0, extended) + [8, 255]),
      ("extends-too-far", command(1, position: 2, extended)), ("unknown", command(9, position: 1, [])),
      ("leads-back", command(1, position: 1, Chain.relay.bytes + there.bytes)),
      ("time", [8, 255, 8, 255, 5] + data.asField + data.asField + [6, 0, 1]),
    ]
  }
  return 0
}
