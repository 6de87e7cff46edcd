import Harness
import MeshCrypto
import MeshPaths
import MeshRelay
import MeshWire

@testable import MeshNode

// why: libFuzzer calls from one thread; every input begins with a copy of one of them
nonisolated(unsafe) private let beginnings = [false, true].flatMap { again in
  Role.allCases.map { FuzzedNode($0, hasMetAgain: again) }
}

/// The first byte chooses the kind of node, and whether its parties have shaken hands twice. Then come steps:
/// datagrams, STUN and answers to its handshakes, from strangers; packets, control messages and cells inside
/// the sessions of its parties; packets from the device; time; and what its owner may do meanwhile.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ first: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var input = FuzzInput(first, count)
  var fuzzed = beginnings[Int(input.byte()) % beginnings.count]
  var steps = 0
  while !input.isEmpty, steps < 40 {
    steps += 1
    fuzzed.step(&input)
    fuzzed.settle()
  }
  _ = fuzzed.node.status(now: fuzzed.now)
  let excess = fuzzed.node.load.excess
  precondition(excess == nil, "a table over its bound")
  return 0
}

/// The step that the low four bits of a byte choose.
enum Step: UInt8 {
  case datagram, packet, control, fromDevice, time, snapshot, stun, cell, create, owner, answer, content
}

/// How a cell is made: its place in the high bits of the step's byte.
enum CellMaking: UInt8 {
  /// As many bytes as there are.
  case raw
  /// Of the right size.
  case padded
  /// With a core that can be right, of a circuit of the relay's half.
  case core
  /// Through the circuit that stands.
  case standing
  /// The same, changed.
  case changed
}

extension FuzzedNode {
  mutating func step(_ input: inout FuzzInput) {
    let choice = input.byte()
    let options = choice >> 4
    switch Step(rawValue: choice & 15) {
    case .datagram, nil: datagram(&input, options)
    case .packet:
      let from = sender(&input)
      let packet = packet(&input, outgoing: false, repair: options)
      arrive(parties[from.party].seal(packet: packet, now: now), from.source)
    case .control:
      let from = sender(&input)
      var message = input.field()
      if options & 1 != 0, message.count >= 5 {
        let id = parties[from.party].asked
        for byte in 0..<4 { message[1 + byte] = UInt8(truncatingIfNeeded: id >> UInt32(24 - 8 * byte)) }
      }
      arrive(parties[from.party].seal(control: message, now: now), from.source)
    case .fromDevice: sendFromDevice(packet(&input, outgoing: true, repair: options))
    case .time: advance(by: .milliseconds(Int(input.byte()) * (options & 1 == 0 ? 100 : 2_000)))
    case .snapshot:
      let table = input.field()
      node.restore(NodeSnapshot(records: [input.field()], table: table), now: now)
    case .stun: stun(&input, isAnswer: options & 1 != 0)
    case .cell: cell(&input, CellMaking(rawValue: options >> 1) ?? .raw)
    case .create: create(&input, options)
    case .owner: owner(&input, options)
    case .answer: answer(&input, throughCircuit: options & 1 != 0)
    case .content:
      let from = sender(&input)
      arrive(parties[from.party].seal(content: input.field()), from.source)
    }
  }

  private mutating func arrive(_ datagrams: [[UInt8]], _ source: Endpoint) {
    for datagram in datagrams { receive(datagram, from: source) }
  }

  /// Who sends what is sealed, in which of its sessions, and from where: at home, elsewhere, or through a
  /// stream.
  private mutating func sender(_ input: inout FuzzInput) -> (party: Int, source: Endpoint) {
    let choice = input.byte()
    let party = Int(choice & 3) % parties.count
    parties[party].usesFirst = choice & 0x20 != 0
    guard choice >= 0x80 else { return (party, parties[party].home) }
    let source = choice & 0x40 == 0 ? Conversation.elsewhere : Self.stream
    whereabouts[source] = party
    return (party, source)
  }

  static let stream = Endpoint(StreamNumber(number: 1 << 31 | 1, origin: 7))

  /// Where a stranger's datagram seems to come from; some are addresses that nothing is ever to be sent to.
  private func source(_ choice: UInt8) -> Endpoint {
    switch choice & 7 {
    case 0: parties[Self.peer].home
    case 1: parties[Self.other].home
    case 2: Conversation.elsewhere
    case 3: Endpoint(.v6(0x2001_0db8_0099 << 80 | 9), port: 8_443)
    case 4: Endpoint(.v4(0x7f00_0001), port: 8_443)
    case 5: Endpoint(.v4(0xc633_6401), port: 0)
    case 6: Endpoint(.v6(0xffff << 32 | 0x7f00_0001), port: 8_443)
    default: Self.stream
    }
  }

  private mutating func datagram(_ input: inout FuzzInput, _ options: UInt8) {
    let source = source(options)
    var bytes = input.field()
    guard options & 8 != 0 else { return receive(stranger: bytes, from: source) }
    // As from one that has got a Retry, and knows whom it talks to.
    if let cookie, bytes.count >= 29 { bytes.replaceSubrange(13..<29, with: cookie) }
    ClearMacs.sealAny(&bytes, to: Self.identity.keyHash, random: [UInt8](repeating: 3, count: 32))
    receive(stranger: bytes, from: source, validates: true)
  }

  /// An answer to the node's own handshake that began last, from where that went.
  private mutating func answer(_ input: inout FuzzInput, throughCircuit: Bool) {
    let bytes = input.field()
    guard throughCircuit else {
      guard let attempt, let target = attempt.target else { return }
      return receive(attempt.answer(bytes), from: target)
    }
    guard let attempt = parties[Self.other].relay?.attempt,
      let cell = parties[Self.other].cell(with: attempt.answer(bytes), now: now)
    else { return }
    arrive(parties[Self.other].seal(cell: cell, now: now), parties[Self.other].home)
  }

  /// A STUN message whose header holds; an answer is one to the last question, from whoever was asked.
  private mutating func stun(_ input: inout FuzzInput, isAnswer: Bool) {
    let choice = input.byte()
    let kind = STUNMessage.Class(rawValue: choice >> 3 & 3) ?? .request
    let asked = isAnswer ? question : nil
    guard let transaction = STUNTransaction(asked?.transaction ?? Array(0..<12)) else { return }
    var bytes = STUNMessage(kind, transaction).encoded
    let attributes = input.field().prefix(1_200)
    let size = attributes.count & ~3
    bytes[2] = UInt8(size >> 8)
    bytes[3] = UInt8(size & 255)
    receive(stranger: bytes + attributes.prefix(size), from: asked?.to ?? source(choice))
  }

  private mutating func cell(_ input: inout FuzzInput, _ making: CellMaking) {
    let from = sender(&input)
    var cell: [UInt8]?
    switch making {
    case .raw: cell = input.field()
    case .padded: cell = padded(input.field())
    case .core:
      let (circuit, hops) = (circuit(UInt32(input.uint16()), of: from.party), Int(input.byte() & 3))
      let datagram = input.field().prefix(CellLayout.largestPayload)
      let core = [UInt8(hops << 6 | datagram.count >> 8), UInt8(datagram.count & 255)]
      cell = padded(circuit + core + datagram)
    case .standing: cell = parties[from.party].cell(with: input.field(), now: now)
    case .changed: cell = parties[from.party].cell(with: input.field(), now: now).map { input.changed($0) }
    }
    guard let cell else { return }
    arrive(parties[from.party].seal(cell: cell, now: now), from.source)
  }

  private func padded(_ bytes: [UInt8]) -> [UInt8] {
    bytes.prefix(CellLayout.cellSize)
      + [UInt8](repeating: 0, count: max(0, CellLayout.cellSize - bytes.count))
  }

  /// A circuit's id, of the half of ids that a party chooses from.
  private func circuit(_ number: UInt32, of party: Int) -> [UInt8] {
    let id = RelayServer.circuitID(number, of: parties[party].keyHash, toward: Self.identity.keyHash)
    return [UInt8(id >> 24), UInt8(id >> 16 & 255), UInt8(id >> 8 & 255), UInt8(id & 255)]
  }

  /// CreateCircuit: made up, of a size that there is; or the one that is ready, as it is or changed.
  private mutating func create(_ input: inout FuzzInput, _ options: UInt8) {
    let from = sender(&input)
    let ready = parties[from.party].create
    var layer = ready?.layer ?? []
    var id = circuit(UInt32(input.uint16()), of: from.party)
    switch options & 3 {
    case 0:
      let size = CreateLayout.size(Int(options >> 2) % CellLayout.longestChain)
      layer = Array(input.field().prefix(size))
      layer += [UInt8](repeating: 0, count: size - layer.count)
    case 1: layer = input.changed(layer)
    default: break
    }
    if options & 4 != 0, let ready {
      id = (0..<4).map { UInt8(truncatingIfNeeded: ready.circuit >> UInt32(24 - 8 * $0)) }
    }
    arrive(parties[from.party].seal(control: [0x12] + id + layer, now: now), from.source)
  }

  /// What the owner does, and what the machine notices.
  private mutating func owner(_ input: inout FuzzInput, _ options: UInt8) {
    let peerID = parties[Int(input.byte()) % parties.count].peerID
    switch options {
    case 0: node.networkChanged(now: now)
    case 1:
      let address = Endpoint(.v4(0xc0a8_0100 | UInt32(input.byte())), port: 8_443)
      node.addressesChanged([AnnouncedEndpoint(.interface, address)], now: now)
    case 2: node.setRelayOffer(0, now: now)
    case 3: node.setRelayOffer(UInt32(input.byte()), now: now)
    case 4: _ = node.removePeer(peerID, now: now)
    case 5: if role != .backbone { add(parties[Self.peer]) }
    case 6: _ = node.detectNAT(now: now)
    case 7: _ = node.lookUp(peerID, now: now)
    case 8: _ = node.ping(peerID, now: now)
    case 9: _ = node.resetPeer(peerID, now: now)
    case 10: _ = node.redeemInvitation(at: peerID, secret: [UInt8](repeating: 2, count: 32), now: now)
    case 11: node.pathRefused(size: input.uint16(), to: parties[Self.peer].home, now: now)
    case 12: if let openedStream { node.streamClosed(openedStream, now: now) }
    case 13: node.streamClosed(StreamNumber(number: 1 << 31 | 1, origin: 7), now: now)
    case 14: node.setEntryRelay(parties[Self.other].keyHash)
    default: node.setClockOffset(.seconds(Int(input.byte()) * 10_000), now: now)
    }
  }

  /// A packet whose fixed header may be put right bit by bit of `repair`, so that what is behind the address
  /// checks is reached too: 1 version and length, 2 source, 4 destination.
  private func packet(_ input: inout FuzzInput, outgoing: Bool, repair: UInt8) -> [UInt8] {
    var packet = input.field()
    if packet.count >= 40 {
      let source = outgoing ? Self.nodeAddress : peerAddress
      let destination = outgoing ? peerAddress : Self.nodeAddress
      if repair & 1 != 0 {
        packet[0] = 0x60
        packet[4] = UInt8((packet.count - 40) >> 8)
        packet[5] = UInt8((packet.count - 40) & 255)
      }
      if repair & 2 != 0 { packet.replaceSubrange(8..<24, with: source.address.bytes) }
      if repair & 4 != 0 { packet.replaceSubrange(24..<40, with: destination.address.bytes) }
    }
    return packet
  }
}
