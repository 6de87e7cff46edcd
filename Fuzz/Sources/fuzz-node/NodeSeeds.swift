import Harness
import Kademlia
import MeshCrypto
import MeshNode
import MeshPaths
import MeshRelay
import MeshWire

/// Writes the seed inputs when asked to.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_: UnsafeMutableRawPointer?, _: UnsafeMutableRawPointer?) -> CInt {
  SeedCorpus.writeIfAsked { packets + messages + strangers + relayed + records + others }
  return 0
}

private func step(_ step: Step, _ options: UInt8 = 0) -> [UInt8] { [options << 4 | step.rawValue] }

private func role(_ role: Role, hasMetAgain: Bool = false) -> [UInt8] {
  [UInt8((Role.allCases.firstIndex(of: role) ?? 0) + (hasMetAgain ? Role.allCases.count : 0))]
}

/// Which party sends something, from home.
private let fromPeer: [UInt8] = [0]
private let fromBackbone: [UInt8] = [1]
private let fromOther: [UInt8] = [2]

private func control(_ from: [UInt8], _ message: ControlMessage, isAnswer: Bool = false) -> [UInt8] {
  step(.control, isAnswer ? 1 : 0) + from + message.encoded.asField
}

private typealias Seeds = [(name: String, bytes: [UInt8])]

private var packets: Seeds {
  func ip(_ next: UInt8, _ payload: [UInt8]) -> [UInt8] {
    ([0x60, 0, 0, 0, 0, UInt8(payload.count), next, 64] + [UInt8](repeating: 0, count: 32) + payload).asField
  }
  let tcp: [UInt8] = [0x30, 0x39, 0, 22] + [UInt8](repeating: 0, count: 16)
  let udp: [UInt8] = [0x30, 0x39, 0, 53, 0, 8, 0, 0]
  let echo: [UInt8] = [128, 0, 0, 0, 0, 1, 0, 1]
  let error: [UInt8] = [1, 4, 0, 0, 0, 0, 0, 0, 0x60] + [UInt8](repeating: 0, count: 47)
  var seeds: Seeds = []
  for (name, next, payload) in [
    ("tcp", 6, tcp), ("udp", 17, udp), ("echo", 58, echo), ("error", 58, error),
  ] {
    let packet = ip(UInt8(next), payload)
    let into = step(.packet, 7) + fromPeer + packet
    seeds.append(("in-\(name)", role(.privateNode) + into))
    seeds.append(("out-\(name)", role(.relay) + step(.fromDevice, 7) + packet + into))
  }
  return seeds
}

private var messages: Seeds {
  let target = Conversation.responderIdentity.keyHash.peerID
  let places = [
    AnnouncedEndpoint(.reflexive, Conversation.elsewhere), AnnouncedEndpoint(.interface, Conversation.home),
  ]
  let peer = Party(1, at: Conversation.home).keyHash
  let other = Party(12, at: Conversation.home).keyHash
  let grant = ReservationGrant(
    id: [UInt8](repeating: 5, count: 16), life: .seconds(3_600), bytes: 1 << 30, kilobitsPerSecond: 1_000)
  let hints = [ContactHint(keyHash: other, endpoint: Conversation.elsewhere, sequence: 1)]
  let requests: [(String, ControlMessage)] = [
    ("ping", .ping(.init(number: 1))), ("find-node", .findNode(.init(number: 2), target: target)),
    ("get-record", .getRecord(.init(number: 3), target: target)),
    ("redeem", .redeemInvite(.init(number: 4), secret: [UInt8](repeating: 1, count: 32))),
    ("announce", .announce(.init(bundle: [UInt8](repeating: 1, count: 80)))),
    ("observe", .observe(.init(number: 5))), ("candidates", .candidates(places, wantsAnswer: true)),
    ("introduce", .introduce(other, places, wantsAnswer: true)), ("reserve", .reserve(.init(number: 6))),
    ("closed", .circuitClosed(77, .closed)),
  ]
  let answers: [(String, ControlMessage)] = [
    ("pong", .pong(.init(number: 1), peerAdded: true)), ("nodes", .nodes(.init(number: 2), hints)),
    ("record", .record(.init(number: 3), nil)),
    ("invite-answer", .inviteAnswer(.init(number: 4), accepted: true)),
    ("observed", .observed(.init(number: 5), Conversation.elsewhere)),
    ("reserved", .reserved(.init(number: 6), grant)), ("not-reserved", .reserved(.init(number: 6), nil)),
  ]
  var seeds: Seeds = []
  for (name, message) in requests {
    for kind in Role.allCases {
      seeds.append(
        ("\(kind)-\(name)", role(kind) + control(fromPeer, message) + control(fromOther, message)))
    }
  }
  for (name, message) in answers {
    seeds.append(
      (
        "answer-\(name)",
        role(.privateNode)
          + [fromPeer, fromBackbone, fromOther].flatMap {
            control($0, message, isAnswer: true)
          }
      ))
  }
  let introduced = ControlMessage.introduction(peer, places, wantsAnswer: true)
  let failed = ControlMessage.introductionFailed(peer)
  seeds.append(
    ("introduced", role(.privateNode) + control(fromBackbone, introduced) + control(fromBackbone, failed)))
  seeds.append(("introduced-by-a-stranger", role(.relay) + control(fromOther, introduced)))
  let rekey = [0x20, 0, 0, 0, 1, 0, 0, 0, 9] + [UInt8](repeating: 9, count: 1_600)
  seeds.append(("rekey", role(.privateNode) + step(.control) + fromPeer + rekey.asField))
  let probe = [0x30, 5, 0xac] + [UInt8](repeating: 0, count: 64)
  seeds.append(("probe", role(.relay) + step(.control) + fromPeer + probe.asField))
  return seeds
}

private var strangers: Seeds {
  let handshake = Conversation.recorded(demandsCookie: true).datagrams.filter(\.toResponder).map(\.bytes)
  let change = STUNMessage(
    .request, STUNTransaction(Array(0..<12))!,
    attributes: [.changeRequest(address: true, port: true)], hasFingerprint: true
  ).encoded
  let mapped = Array(
    STUNMessage(
      .success, STUNTransaction(Array(0..<12))!, attributes: [.mappedAddress(Conversation.elsewhere)]
    )
    .encoded.dropFirst(STUNMessage.headerSize))
  var seeds: Seeds = []
  for kind in Role.allCases {
    // Asked, a Retry comes; then with its cookie.
    seeds.append(
      (
        "\(kind)-handshake",
        role(kind) + handshake.prefix(2).flatMap { step(.datagram, 2) + $0.asField }
          + handshake.prefix(6).flatMap { step(.datagram, 10) + $0.asField }
      ))
    seeds.append(
      (
        "\(kind)-stun",
        role(kind) + step(.datagram, 3) + change.asField + step(.stun) + [2] + [UInt8]().asField
          + step(.stun) + [4] + [UInt8]().asField
      ))
    seeds.append(
      (
        "\(kind)-stun-answer",
        role(kind) + step(.owner, 6) + [0] + step(.stun, 1) + [16] + mapped.asField
          + step(.time) + [5] + step(.stun, 1) + [16] + mapped.asField
      ))
    seeds.append(
      ("\(kind)-raw", role(kind) + step(.datagram, 2) + [UInt8](repeating: 1, count: 48).asField))
    seeds.append(
      ("\(kind)-stream", role(kind) + handshake.prefix(2).flatMap { step(.datagram, 7) + $0.asField }))
    seeds.append(("\(kind)-spoofed", role(kind) + (4...6).flatMap { step(.datagram, $0) + change.asField }))
  }
  return seeds
}

private var relayed: Seeds {
  let data = [UInt8](repeating: 7, count: 200).asField
  let core: [UInt8] = [0, 9, 1 << 0]
  func cell(_ making: CellMaking, _ from: [UInt8], _ rest: [UInt8]) -> [UInt8] {
    step(.cell, making.rawValue << 1) + from + rest
  }
  let m1 = Conversation.recorded(demandsCookie: false).datagrams[0].bytes.asField
  let through = cell(.standing, fromOther, data) + cell(.standing, fromPeer, data)
  var seeds: Seeds = [
    ("circuit", role(.relay) + through + through),
    ("circuit-changed", role(.relay) + cell(.changed, fromOther, data + [1, 0, 9, 1]) + through),
    ("circuit-back", role(.privateNode) + cell(.standing, fromOther, m1) + cell(.standing, fromOther, data)),
    (
      "circuit-arrives",
      role(.privateNode) + cell(.core, fromOther, core + m1)
        + cell(.core, fromOther, core + [UInt8]().asField) + cell(.core, fromOther, core + data)
    ),
    ("circuit-of-a-peer", role(.privateNode) + cell(.core, fromPeer, core + m1)),
    (
      "circuit-ready",
      role(.relay) + step(.create, 6) + fromOther + [0, 0] + step(.create, 6) + fromOther + [0, 0]
    ),
    ("circuit-ready-changed", role(.relay) + step(.create, 5) + fromOther + [0, 0, 2, 0, 1, 9, 6, 70, 8]),
    ("circuit-lost", role(.relay) + step(.owner, 4) + [0] + through),
    ("offer", role(.relay) + step(.owner, 2) + [0] + through + step(.owner, 3) + [0, 9] + through),
  ]
  for kind in Role.allCases {
    seeds.append(
      (
        "\(kind)-cells",
        role(kind) + cell(.raw, fromPeer, data) + cell(.padded, fromPeer, data)
          + cell(.padded, fromOther, data)
      ))
    for position in UInt8(0)..<3 {
      seeds.append(
        ("\(kind)-create-\(position)", role(kind) + step(.create, position << 2) + fromPeer + [0, 1] + data))
    }
  }
  return seeds
}

/// Signed records, in place of made-up ones.
private var records: Seeds {
  let (peer, other) = (Party(1, at: Conversation.home), Party(12, at: Conversation.elsewhere))
  let reservation = RelayReservation(
    relay: other.keyHash, endpoint: other.home, id: [UInt8](repeating: 5, count: 16))
  let ofPeer = FuzzedNode.record(
    of: (peer.identity, peer.home), type: .lightPrivate, reservations: [reservation].compactMap(\.self))
  let ofOther = FuzzedNode.record(of: (other.identity, other.home), type: .lightPublic)
  func announced(_ from: [UInt8], _ record: PeerRecord) -> [UInt8] {
    control(from, .announce(.init(bundle: record.bundle)))
  }
  func answered(_ from: [UInt8], _ record: PeerRecord) -> [UInt8] {
    control(from, .record(.init(number: 0), .init(bundle: record.bundle)), isAnswer: true)
  }
  return [
    ("announced", role(.relay) + announced(fromPeer, ofPeer) + announced(fromOther, ofOther)),
    ("announced-of-others", role(.privateNode) + announced(fromPeer, ofOther) + announced(fromOther, ofPeer)),
    ("fetched", role(.relay) + step(.owner, 7) + [2] + answered(fromPeer, ofOther)),
    ("contact-record", role(.relay, hasMetAgain: true) + answered(fromOther, ofOther)),
    (
      "looked-up",
      role(.privateNode) + step(.owner, 7) + [0] + answered(fromBackbone, ofPeer)
        + answered(fromOther, ofPeer)
    ),
  ]
}

private var others: Seeds {
  var seeds: Seeds = []
  let ping = ControlMessage.ping(.init(number: 9)).encoded.asField
  let soon = step(.time) + [10]
  func handshake(_ head: [UInt8], _ size: Int) -> [UInt8] {
    (head + [UInt8](repeating: 0, count: size - head.count)).asField
  }
  let retry = handshake([3, 1, 0, 0, 1], 45)
  let m2 = handshake([4, 1, 0, 0, 2], 1_232)
  var answers: [UInt8] = []
  for way: UInt8 in [0, 1] { answers += step(.answer, way) + retry + step(.answer, way) + m2 }
  for kind in Role.allCases {
    let minutes: [UInt8] = [UInt8](repeating: 255, count: 5).flatMap { step(.time) + [$0] }
    seeds.append(("\(kind)-time", role(kind) + minutes + step(.time, 1) + [60]))
    for first in stride(from: UInt8(0), to: 16, by: 4) {
      var acts: [UInt8] = []
      for act in first..<first + 4 { acts += step(.owner, act) + [0, 9, 9] + soon }
      seeds.append(("\(kind)-owner-\(first)", role(kind) + acts))
    }
    // A party is heard from another address, and through a stream.
    var moves: [UInt8] = []
    for from: UInt8 in [0x80, 0xc2, 0x80] { moves += step(.control) + [from] + ping + soon }
    seeds.append(("\(kind)-moved", role(kind) + moves))
    // In both of two sessions.
    var again: [UInt8] = []
    for from: UInt8 in [0, 0x20, 0, 0x22] { again += step(.control) + [from] + ping }
    seeds.append(("\(kind)-again", role(kind, hasMetAgain: true) + again + soon + again))
    // The kinds of pieces: a message in two of them, and one that can't be right.
    var pieces: [UInt8] = []
    for (content, message) in [(UInt8(0x11), 0), (0x12, 1), (0x13, 2)] as [(UInt8, UInt8)] {
      let head: [UInt8] = [content, 0, 0, 0, message]
      for place: [UInt8] in [[0, 2], [1, 2], [7, 200]] {
        pieces += step(.content) + fromPeer + (head + place + [1, 0, 0, 0, 9]).asField
      }
    }
    seeds.append(("\(kind)-pieces", role(kind) + pieces))
    seeds.append(("\(kind)-answered", role(kind) + answers + soon + answers))
  }
  return seeds
}
