import ControlAPI
import Foundation
import Testing

@Suite("Control messages")
struct ControlLineTests {
  private static let requests: [ControlRequest] = [
    .status, .peers, .invite(name: PeerName("bob"), expires: 60, allow: [.tcp(22), .ping]),
    .join(line: "shadowmesh1:abc", name: nil, allow: [.all]),
    .addPeer(name: PeerName("bob")!, peerID: "00", allow: [], hops: nil),
    .addPeer(name: PeerName("bob")!, peerID: "00", allow: [], hops: HopCount(3)),
    .setHops(name: PeerName("bob")!, hops: HopCount(1)), .setHops(name: PeerName("bob")!, hops: nil),
    .removePeer(name: PeerName("bob")!),
    .lookUp(target: "bob"), .ping(target: "bob", count: 3, untilDirect: true),
    .resetPeer(name: PeerName("bob")!), .netcheck(servers: ["192.0.2.1:3478"]),
  ]

  @Test(arguments: requests)
  func requestsComeBackTheSame(request: ControlRequest) throws {
    let line = try ControlLine.encode(ControlEnvelope(request))
    #expect(line.last == 10)
    #expect(line.dropLast().firstIndex(of: 10) == nil)
    #expect(try ControlLine.decode(ControlRequest.self, from: line).body == request)
  }

  @Test func answersComeBackTheSame() throws {
    let path = PathReport(kind: "direct", endpoint: "192.0.2.1:1", reason: "the record's endpoint answered")
    let answer = ControlAnswer.peers([
      PeerReport(
        name: PeerName("bob")!, peerID: "01", keyHash: nil, address: "fd73:6d::1", allow: [.udp(53)],
        session: "connected", path: path, sessionSeconds: 60, lastHeard: 3)
    ])
    let line = try ControlLine.encode(ControlEnvelope(answer, more: true))
    let back = try ControlLine.decode(ControlAnswer.self, from: line)
    #expect(back.body == answer)
    #expect(back.more)
    #expect(String(decoding: line, as: UTF8.self).contains("\"peer_id\":\"01\""))
  }

  @Test func anotherVersionIsRefusedByName() throws {
    let line = Data(#"{"version":2,"request":"in a shape of the future"}"#.utf8)
    let failure = #expect(throws: ControlFailure.self) {
      try ControlLine.decode(ControlRequest.self, from: line)
    }
    #expect(failure?.kind == .otherVersion)
  }

  @Test(arguments: [
    "", "{}", "[]", "null", #"{"version":1}"#, #"{"version":1,"more":false,"body":{"fly":{}}}"#,
  ])
  func whatIsNoRequestIsRefused(text: String) {
    let failure = #expect(throws: ControlFailure.self) {
      try ControlLine.decode(ControlRequest.self, from: Data(text.utf8))
    }
    #expect(failure?.kind == .badRequest)
  }

  @Test func aNameThatIsNoneIsRefused() {
    let text = #"{"version":1,"more":false,"body":{"remove_peer":{"name":"Bob"}}}"#
    #expect(throws: ControlFailure.self) {
      try ControlLine.decode(ControlRequest.self, from: Data(text.utf8))
    }
  }

  @Test("Hops outside of 1 to 3 are refused before anybody acts on them", arguments: ["0", "4", "-1", "2.5"])
  func hopsOutOfBounds(hops: String) {
    let text = #"{"version":1,"more":false,"body":{"set_hops":{"name":"bob","hops":\#(hops)}}}"#
    let failure = #expect(throws: ControlFailure.self) {
      try ControlLine.decode(ControlRequest.self, from: Data(text.utf8))
    }
    #expect(failure?.kind == .badRequest)
  }

  @Test("A request of a program that knows no hops for a peer is understood")
  func addingWithoutHops() throws {
    let text = #"{"version":1,"more":false,"body":{"add_peer":{"name":"bob","peer_id":"00","allow":[]}}}"#
    let request = try ControlLine.decode(ControlRequest.self, from: Data(text.utf8)).body
    #expect(request == .addPeer(name: PeerName("bob")!, peerID: "00", allow: [], hops: nil))
  }

  @Test func aLineOverTheLimitIsRefusedBothWays() {
    let long = String(repeating: "x", count: ControlLine.maximumLength)
    #expect(throws: ControlFailure.self) {
      try ControlLine.encode(ControlEnvelope(ControlRequest.lookUp(target: long)))
    }
    #expect(throws: ControlFailure.self) {
      try ControlLine.decode(ControlRequest.self, from: Data(long.utf8) + Data(" ".utf8))
    }
  }

  @Test func noDaemonIsSaidSo() throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/none.sock"
    #expect(throws: ControlClient.Failure.notRunning(path: path)) {
      try ControlClient(socketPath: path).send(.status)
    }
    let long = "/" + String(repeating: "x", count: 107)
    #expect(throws: ControlClient.Failure.pathTooLong(path: long)) {
      try ControlClient(socketPath: long).send(.status)
    }
  }
}
