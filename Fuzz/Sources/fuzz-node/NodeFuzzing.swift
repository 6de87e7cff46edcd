import Harness
import MeshCrypto
import MeshNode
import MeshWire

// why: libFuzzer calls from one thread; every input begins with a copy of it
nonisolated(unsafe) private let base = NodeAndPeer()

/// Datagrams from strangers; packets and control messages inside the session of a peer; packets from the
/// device; time.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ first: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var input = FuzzInput(first, count)
  var pair = base
  pair.jobsLeft = 6
  var steps = 0
  while !input.isEmpty, steps < 40 {
    steps += 1
    let action = input.byte()
    switch action % 6 {
    case 0:
      pair.receive(
        input.field(), from: action & 0x10 == 0 ? Conversation.home : Conversation.elsewhere)
    case 1: pair.receiveSealed(packet: packet(&input, outgoing: false, repair: action >> 4))
    case 2: pair.receiveSealed(control: input.field())
    case 3: pair.sendFromDevice(packet(&input, outgoing: true, repair: action >> 4))
    case 4: pair.advance(by: .milliseconds(Int(input.byte()) * 100))
    default:
      let table = input.field()
      pair.node.restore(NodeSnapshot(records: [input.field()], table: table), now: pair.now)
    }
    _ = pair.drain()
  }
  return 0
}

/// A packet whose fixed header may be put right bit by bit of `repair`, so that what is behind the address
/// checks is reached too: 1 version and length, 2 source, 4 destination.
private func packet(_ input: inout FuzzInput, outgoing: Bool, repair: UInt8) -> [UInt8] {
  var packet = input.field()
  if packet.count >= 40 {
    let source = outgoing ? NodeAndPeer.nodeAddress : NodeAndPeer.peerAddress
    let destination = outgoing ? NodeAndPeer.peerAddress : NodeAndPeer.nodeAddress
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

/// Writes the seed inputs when asked to.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_: UnsafeMutableRawPointer?, _: UnsafeMutableRawPointer?) -> CInt {
  SeedCorpus.writeIfAsked {
    precondition(base.session != nil, "no session came about")
    func ip(_ next: UInt8, _ payload: [UInt8]) -> [UInt8] {
      ([0x60, 0, 0, 0, 0, UInt8(payload.count), next, 64] + [UInt8](repeating: 0, count: 32) + payload)
        .asField
    }
    let tcp: [UInt8] = [0x30, 0x39, 0, 22] + [UInt8](repeating: 0, count: 16)
    let udp: [UInt8] = [0x30, 0x39, 0, 53, 0, 8, 0, 0]
    let echo: [UInt8] = [128, 0, 0, 0, 0, 1, 0, 1]
    let error: [UInt8] = [1, 4, 0, 0, 0, 0, 0, 0, 0x60] + [UInt8](repeating: 0, count: 47)
    var seeds: [(name: String, bytes: [UInt8])] = []
    for (name, next, payload) in [
      ("tcp", 6, tcp), ("udp", 17, udp), ("echo", 58, echo), ("error", 58, error),
    ] {
      seeds.append(("in-\(name)", [0x73] + ip(UInt8(next), payload)))
      seeds.append(("out-\(name)", [0x75] + ip(UInt8(next), payload) + [0x73] + ip(UInt8(next), payload)))
    }
    let target = Conversation.responderIdentity.keyHash.peerID
    let messages: [(String, ControlMessage)] = [
      ("ping", .ping(.init(number: 1))), ("pong", .pong(.init(number: 1), peerAdded: true)),
      ("find-node", .findNode(.init(number: 2), target: target)), ("nodes", .nodes(.init(number: 2), [])),
      ("get-record", .getRecord(.init(number: 3), target: target)),
      ("record", .record(.init(number: 3), nil)),
      ("redeem", .redeemInvite(.init(number: 4), secret: [UInt8](repeating: 1, count: 32))),
      ("invite-answer", .inviteAnswer(.init(number: 4), accepted: true)),
      ("announce", .announce(.init(bundle: [UInt8](repeating: 1, count: 80)))),
    ]
    for (name, message) in messages { seeds.append(("control-\(name)", [2] + message.encoded.asField)) }
    seeds.append(
      ("rekey", [2] + ([0x20, 0, 0, 0, 1, 0, 0, 0, 9] + [UInt8](repeating: 9, count: 1_600)).asField))
    seeds.append(("probe", [2] + ([0x30, 5, 0xac] + [UInt8](repeating: 0, count: 64)).asField))
    seeds.append(("time", [4, 255, 4, 255, 4, 255]))
    seeds.append(("raw", [0] + [UInt8](repeating: 1, count: 48).asField))
    return seeds
  }
  return 0
}
