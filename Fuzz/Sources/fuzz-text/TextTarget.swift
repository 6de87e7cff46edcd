import BackboneAPI
import ControlAPI
import Crypto
import Foundation
import Harness
import LightNode
import MeshCrypto
import MeshWire

@testable import Backbone

/// Text from outside: addresses, invitations, JSON bodies and a query of the backbone's API both ways, login
/// challenges, lines of the control socket.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ first: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var input = FuzzInput(first, count)
  let choice = input.byte()
  let bytes = input.rest()
  switch choice % 13 {
  case 0: readAddresses(String(decoding: bytes, as: UTF8.self))
  case 1: readInvitation(String(decoding: bytes, as: UTF8.self))
  case 2: readInvitation(InviteLine.prefix + withChecksum(bytes))
  case 3: readLogin(bytes)
  case 4:
    if let answer = roundTrip(VerifyAnswer.self, bytes) { verify(answer.nodes) }
    roundTrip(ChallengeAnswer.self, bytes)
    if let nodes = roundTrip(SignedNodes.self, bytes) { verify(nodes) }
  case 5: roundTrip(Problem.self, bytes)
  case 6: readRecord(bytes)
  case 7: readLine(ControlRequest.self, bytes)
  case 8: readLine(ControlAnswer.self, bytes)
  case 9: readNames(String(decoding: bytes, as: UTF8.self))
  case 10: readChallenge(bytes)
  case 11: readRelays(bytes)
  default: readQuery(String(decoding: bytes, as: UTF8.self))
  }
  return 0
}

private func readAddresses(_ text: String) {
  if let address = IPAddress(text) { precondition(IPAddress(address.description) == address) }
  if let endpoint = Endpoint(text) { precondition(Endpoint(endpoint.description) == endpoint) }
  if let bytes = [UInt8](hex: text) { precondition(bytes.hex == text.lowercased()) }
  _ = Origin(url: text)
}

private func readNames(_ text: String) {
  if let name = PeerName(text) { precondition(name.text == text) }
  if let rule = PortRule(text) { precondition(PortRule(rule.description) == rule) }
  if let region = Region(text) { precondition(region.name == text) }
  if let hops = HopCount(text) { precondition(HopCount("\(hops)") == hops) }
  if let name = OperatorName(text) { precondition(name.name == text) }
  if let key = KeyHash(hex: text) { precondition(KeyHash(hex: "\(key)") == key) }
  if let peer = PeerID(hex: text) { precondition(PeerID(hex: "\(peer)") == peer) }
}

private let backbone = Conversation.responderIdentity.keyHash

/// The list of a backbone, at any time that it says.
private func verify(_ nodes: SignedNodes) {
  let now = WallTime(secondsSinceEpoch: 1_800_000_000)
  guard let verified = nodes.verified(from: backbone, now: now, tolerance: .seconds(7_200)) else { return }
  precondition(verified.count == nodes.backboneNodes.count && verified.count <= BackboneNodeList.maximumCount)
}

private func readRelays(_ bytes: [UInt8]) {
  guard let list = try? JSONDecoder().decode(RelayList.self, from: Data(bytes)) else { return }
  precondition(list.relays.count <= RelayList.maximumCount)
  let again = try? JSONDecoder().decode(RelayList.self, from: Data(list.json))
  precondition(again == list, "a list of relays does not come back")
}

private func readQuery(_ text: String) {
  guard let query = try? RelayQuery(text[...]) else { return }
  precondition((1...RelayList.maximumCount).contains(query.limit))
  let written = "limit=\(query.limit)" + (query.region.map { "&region=\($0)" } ?? "")
  let again = try? RelayQuery(written[...])
  precondition(again == query, "a query does not come back")
}

private func readInvitation(_ text: String) {
  guard let line = try? InviteLine(text) else { return }
  precondition((try? InviteLine(line.text)) == line, "an invitation does not come back")
}

/// The bytes as the body of an invitation whose checksum holds.
private func withChecksum(_ body: [UInt8]) -> String {
  let sum = SHA256.hash(data: Array(InviteLine.prefix.utf8) + body).prefix(4)
  return Data(body + Array(sum)).base64EncodedString()
    .replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
}

/// A challenge that comes back, as it is and with the authenticator of its region.
private func readChallenge(_ bytes: [UInt8]) {
  let key = [UInt8](repeating: 3, count: 32)
  let now = WallTime(secondsSinceEpoch: 1_800_000_000)
  precondition(LoginChallenge(bytes, key: [4] + key, now: now) == nil, "another region's challenge")
  if let challenge = LoginChallenge(bytes, key: key, now: now) { precondition(challenge.bytes == bytes) }
  guard bytes.count >= 24 else { return }
  let time = WallTime(secondsSinceEpoch: bytes[..<8].reduce(0) { $0 << 8 | UInt64($1) })
  let issued = LoginChallenge(issuedAt: time, random: Array(bytes[8..<24]), key: key)
  let again = LoginChallenge(issued.bytes, key: key, now: now)
  precondition(again == nil || again == issued)
}

private func readLogin(_ bytes: [UInt8]) {
  guard let request = try? VerifyRequest(json: bytes) else { return }
  precondition((try? VerifyRequest(json: request.json)) == request, "a login does not come back")
  precondition((try? JSONSerialization.jsonObject(with: Data(bytes))) != nil, "what was read is not JSON")
}

private func readRecord(_ bytes: [UInt8]) {
  guard let message = try? RecordMessage(json: bytes) else { return }
  precondition((try? RecordMessage(json: message.json)) == message, "a record does not come back")
}

/// What can be read can be written, and reads the same again.
@discardableResult
private func roundTrip<Message: Codable & Equatable>(_ type: Message.Type, _ bytes: [UInt8]) -> Message? {
  guard let message = try? JSONDecoder().decode(type, from: Data(bytes)) else { return nil }
  guard let text = try? JSONEncoder().encode(message),
    let again = try? JSONDecoder().decode(type, from: text)
  else { preconditionFailure("what was read can't be written") }
  precondition(again == message)
  return message
}

private func readLine<Body: Codable & Sendable & Equatable>(_ type: Body.Type, _ bytes: [UInt8]) {
  guard let envelope = try? ControlLine.decode(type, from: Data(bytes)) else { return }
  guard let line = try? ControlLine.encode(envelope) else { return }
  guard let again = try? ControlLine.decode(type, from: line) else {
    preconditionFailure("what was read can't be written")
  }
  precondition(again.body == envelope.body && again.more == envelope.more)
}

/// Writes the seed inputs when asked to.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_: UnsafeMutableRawPointer?, _: UnsafeMutableRawPointer?) -> CInt {
  SeedCorpus.writeIfAsked {
    let key = try IdentityKey(seed: [UInt8](repeating: 1, count: IdentityKey.seedSize))
    let invitation = InviteLine(
      keyHash: key.keyHash, secret: [UInt8](repeating: 2, count: 32),
      expiry: WallTime(secondsSinceEpoch: 1_800_000_000), backboneKey: key.keyHash,
      backboneURL: "https://192.0.2.1:8443", region: "eu-west",
      endpoints: [Endpoint(.v4(0xc000_0207), port: 8443)])
    let request = VerifyRequest(
      peerID: key.keyHash.peerID, challenge: [1, 2, 3], signature: [4, 5, 6], publicKey: [7, 8, 9],
      audience: "https://192.0.2.1:8443", invite: nil)
    let challenge = ChallengeAnswer(
      challenge: [1, 2, 3], timestamp: WallTime(secondsSinceEpoch: 1),
      expiresAt: WallTime(secondsSinceEpoch: 2))
    let node = BackboneNode(
      region: Region("eu-west")!, endpoint: Endpoint(.v4(0xc000_0207), port: 8443), keyHash: key.keyHash,
      stun: Endpoint(.v4(0xc000_0207), port: 3478))
    let list = BackboneNodeList(
      issuer: backbone, issued: WallTime(secondsSinceEpoch: 1_800_000_000),
      expiry: WallTime(secondsSinceEpoch: .max),
      nodes: [node, node])
    let nodes = SignedNodes(
      list, signature: try list.signed(by: Conversation.responderIdentity),
      publicKey: Conversation.responderIdentity.publicKey.bytes)
    let login = VerifyAnswer(token: "a.b.c", expiresAt: WallTime(secondsSinceEpoch: .max), nodes: nodes)
    func json(_ choice: UInt8, _ value: some Encodable) throws -> [UInt8] {
      [choice] + [UInt8](try JSONEncoder().encode(value))
    }
    var seeds: [(name: String, bytes: [UInt8])] = [
      ("ipv4", [0] + Array("192.0.2.1:8443".utf8)), ("ipv6", [0] + Array("[2001:db8::1]:8443".utf8)),
      ("url", [0] + Array("https://backbone.example:8443/".utf8)),
      ("invitation", [1] + Array(invitation.text.utf8)),
      ("verify", try json(3, request)), ("logged-in", try json(4, login)), ("nodes", try json(4, nodes)),
      ("challenge", try json(4, challenge)),
      ("record", [6] + RecordMessage(record: [1, 2, 3, 4]).json),
      ("relays", [11] + RelayList(relays: [[1, 2, 3, 4], [5], []]).json),
      ("query", [12] + Array("region=eu-west&limit=8".utf8)),
      ("operator", [9] + Array("example.org".utf8)), ("hops", [9] + Array("3".utf8)),
      ("key-hash", [9] + Array("\(key.keyHash)".utf8)),
      ("peer-id", [9] + Array("\(key.keyHash.peerID)".utf8)),
      ("port", [9] + Array("tcp/22".utf8)), ("name", [9] + Array("alice-1".utf8)),
      (
        "challenge-bytes",
        [10]
          + LoginChallenge(
            issuedAt: WallTime(secondsSinceEpoch: 1_800_000_000), random: [UInt8](repeating: 5, count: 16),
            key: [UInt8](repeating: 3, count: 32)
          ).bytes
      ),
    ]
    for (number, kind) in Problem.Kind.allCases.enumerated() {
      seeds.append(("problem-\(number)", try json(5, Problem(kind, detail: "why"))))
    }
    let requests: [ControlRequest] = [
      .status, .peers, .lookUp(target: "alice"), .ping(target: "alice", count: 3, untilDirect: false),
      .join(line: invitation.text, name: PeerName("alice"), allow: [.all, .tcp(22)]),
      .invite(name: nil, expires: 600, allow: []),
    ]
    for (number, request) in requests.enumerated() {
      seeds.append(("request-\(number)", [7] + [UInt8](try ControlLine.encode(ControlEnvelope(request)))))
    }
    let failure = ControlAnswer.failure(ControlFailure(.badRequest, "why"))
    seeds.append(("answer", [8] + [UInt8](try ControlLine.encode(ControlEnvelope(failure, more: true)))))
    return seeds
  }
  return 0
}
