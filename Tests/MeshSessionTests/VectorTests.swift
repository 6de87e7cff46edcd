import Foundation
import MeshCrypto
import MeshWire
import Testing

@testable import MeshSession

/// The file of SMH1.md §12, which the Python peer made: nothing in it came from this code.
struct HandshakeVectors: Decodable {
  struct Packet: Decodable {
    let suite: String
    let direction: String
    let counter: String
    let plaintext: String
    let datagram: String
  }

  let inputs: [String: String]
  let values: [String: String]
  let datagrams: [String: [String]]
  let packets: [Packet]
  let rekey: [String: String]

  static func load() throws -> HandshakeVectors {
    let url = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Vectors/smh1.json")
    return try JSONDecoder().decode(HandshakeVectors.self, from: Data(contentsOf: url))
  }

  func input(_ name: String) throws -> [UInt8] { try bytes(inputs[name]) }
  func value(_ name: String) throws -> [UInt8] { try bytes(values[name]) }
  func rekey(_ name: String) throws -> [UInt8] { try bytes(rekey[name]) }

  private func bytes(_ hex: String?) throws -> [UInt8] { try #require(hex.flatMap { [UInt8](hex: $0) }) }
}

@Suite struct VectorTests {
  let file: HandshakeVectors
  let alice: IdentityKey
  let bob: IdentityKey
  let suite: AEADSuite
  let id: UInt64
  let responderID: UInt64

  init() throws {
    file = try HandshakeVectors.load()
    alice = try IdentityKey(seed: file.input("identity_seed_i"))
    bob = try IdentityKey(seed: file.input("identity_seed_r"))
    suite = try #require(AEADSuite(rawValue: file.input("suite")[0]))
    id = try file.input("initiator_id").bigEndian64(at: 0)
    responderID = try file.input("responder_id").bigEndian64(at: 0)
  }

  private func index(_ name: String) throws -> UInt32 {
    try file.input(name).reduce(0) { $0 << 8 | UInt32($1) }
  }

  private func exchange() throws -> (KeyExchangeSecret, KeyExchangeAnswer, SharedSecret) {
    let keys = try KeyExchangeSecret(
      x25519Seed: file.input("x25519_private_i"), mlkemSeed: file.input("mlkem_seed_i"))
    let other = try KeyExchangeSecret(
      x25519Seed: file.input("x25519_private_r"), mlkemSeed: file.input("mlkem_seed_i"))
    let bytes = try other.offer.bytes[..<32] + file.input("mlkem_ciphertext")
    let answer = try #require(KeyExchangeAnswer(bytes))
    return (keys, answer, try keys.open(answer))
  }

  private func schedule() throws -> KeySchedule {
    try KeySchedule(
      initiatorID: id, responder: bob.keyHash, m1: file.value("m1_body"), m2a: file.value("m2a_body"),
      shared: exchange().2)
  }

  @Test func bodiesInTheClear() throws {
    let (keys, answer, shared) = try exchange()
    #expect(try shared.bytes == file.value("ikm"))
    #expect(try Array(shared.bytes[..<32]) == file.value("x25519_shared"))
    #expect(try Array(shared.bytes[32...]) == file.input("mlkem_shared"))
    let m1 = M1Body(
      offer: keys.offer, random: try file.input("m1_random"), suites: try file.input("suites_offered"),
      wantsPublicKey: true, receiverIndex: try index("receiver_index_i"))
    #expect(try m1.encode() == file.value("m1_body"))
    let m2a = M2aBody(
      responder: responderID, answer: answer, suite: suite, receiverIndex: try index("receiver_index_r"))
    #expect(try m2a.encode() == file.value("m2a_body"))
    #expect(try M1Body(file.value("m1_body")).encode() == m1.encode())
    #expect(try M2aBody(file.value("m2a_body")).encode() == m2a.encode())
  }

  @Test func transcriptAndKeys() throws {
    let schedule = try schedule()
    #expect(try alice.publicKey.bytes == file.value("public_key_i"))
    #expect(try alice.keyHash.bytes == file.value("key_hash_i"))
    #expect(try bob.publicKey.bytes == file.value("public_key_r"))
    #expect(try bob.keyHash.bytes == file.value("key_hash_r"))
    #expect(try schedule.th1 == file.value("th1"))
    #expect(try schedule.secret == file.value("hs"))
    #expect(try schedule.responderKey == file.value("kR"))
    #expect(try schedule.initiatorKey == file.value("kI"))
    #expect(try schedule.responderFinishedKey == file.value("fR"))
    #expect(try schedule.initiatorFinishedKey == file.value("fI"))
    let th2 = schedule.th2(responder: bob.publicKey)
    let th3 = try schedule.th3(th2, signature: file.input("signature_r"))
    let finishedR = schedule.responderFinished(th3)
    let th4 = schedule.th4(
      th3, responderFinished: finishedR, initiator: alice.publicKey, responder: bob.keyHash)
    let th5 = try schedule.th5(th4, signature: file.input("signature_i"))
    #expect(try th2 == file.value("th2"))
    #expect(try th3 == file.value("th3"))
    #expect(try finishedR == file.value("finished_r"))
    #expect(try th4 == file.value("th4"))
    #expect(try th5 == file.value("th5"))
    #expect(try schedule.initiatorFinished(th5) == file.value("finished_i"))
    let root = schedule.root(th5)
    #expect(try root == file.value("root"))
    #expect(try TransportKeys(root: root).initiatorToResponder == file.value("key_i2r"))
    #expect(try TransportKeys(root: root).responderToInitiator == file.value("key_r2i"))
  }

  @Test func signaturesVerifyInTheirOwnContextOnly() throws {
    for context in SignatureContext.allCases {
      let r = try bob.publicKey.verifies(
        file.input("signature_r"), of: file.value("th2"), context: context)
      let i = try alice.publicKey.verifies(
        file.input("signature_i"), of: file.value("th4"), context: context)
      #expect(r == (context == .handshakeResponder))
      #expect(i == (context == .handshakeInitiator))
    }
  }

  @Test func datagramsInTheClear() throws {
    let mac1Key = Macs.mac1Key(responder: bob.keyHash)
    let macKey = Macs.clearKey(random: try file.input("m1_random"))
    #expect(try mac1Key == file.value("mac1_key"))
    #expect(try macKey == file.value("macM2"))
    let address = try #require(IPAddress(file.input("cookie_address")[12...]))
    let port = try file.input("cookie_port").reduce(UInt16(0)) { $0 << 8 | UInt16($1) }
    let cookie = try CookieJar.cookie(
      secret: file.input("cookie_secret"), Endpoint(address, port: port), id)
    #expect(try cookie == file.value("cookie"))
    let body = try file.value("m1_body")
    for (name, cookie) in [("m1", [UInt8](repeating: 0, count: 16)), ("m1_with_cookie", cookie)] {
      let datagrams = (0..<3).map {
        M1Datagram.encode(
          body: body, index: $0, count: 3, initiator: id, cookie: cookie, mac1Key: mac1Key
        ).hex
      }
      #expect(datagrams == file.datagrams[name])
    }
    func clear(_ kind: Layout.Kind, _ suite: UInt8, _ receiver: UInt64, _ rest: [UInt8]) -> [String] {
      [
        HandshakeDatagram.encode(
          kind, suite: suite, index: 0, count: 1, receiver: receiver, rest: rest, macKey: macKey
        ).hex
      ]
    }
    #expect(clear(.retry, 0, id, cookie) == file.datagrams["retry"])
    #expect(clear(.ack, suite.rawValue, responderID, [0x01, 0x83]) == file.datagrams["ack_of_m2"])
    #expect(clear(.ack, suite.rawValue, id, [0x00, 0x5a]) == file.datagrams["ack_of_m3"])
    let m2a = try OutgoingFragments.clear(
      .m2a, file.value("m2a_body"), suite: suite.rawValue, receiver: id, macKey: macKey)
    #expect(m2a.datagrams.map(\.hex) == file.datagrams["m2a"])
  }

  @Test func sealedDatagrams() throws {
    let schedule = try schedule()
    let m2b = try IdentityBody(
      keyHash: bob.keyHash, signature: file.input("signature_r"), finished: file.value("finished_r"),
      publicKey: bob.publicKey
    ).encode()
    let m3 = try IdentityBody(
      keyHash: alice.keyHash, signature: file.input("signature_i"), finished: file.value("finished_i"),
      publicKey: alice.publicKey
    ).encode()
    #expect(try m2b == file.value("m2b_body"))
    #expect(try m3 == file.value("m3_body"))
    let sealedM2b = OutgoingFragments.sealed(
      .m2b, m2b, suite: suite, receiver: id, key: AEADKey(suite, key: schedule.responderKey))
    let sealedM3 = OutgoingFragments.sealed(
      .m3, m3, suite: suite, receiver: responderID, key: AEADKey(suite, key: schedule.initiatorKey))
    #expect(sealedM2b.datagrams.map(\.hex) == file.datagrams["m2b"])
    #expect(sealedM3.datagrams.map(\.hex) == file.datagrams["m3"])
  }

  @Test func transportPackets() throws {
    for packet in file.packets {
      let fromInitiator = packet.direction == "i2r"
      let (own, peer) =
        fromInitiator ? ("receiver_index_i", "receiver_index_r") : ("receiver_index_r", "receiver_index_i")
      let suite = try #require(AEADSuite(rawValue: UInt8(packet.suite, radix: 16) ?? 0))
      var epoch = Epoch(
        generation: 0, suite: suite, root: try file.value("root"),
        role: fromInitiator ? .initiator : .responder,
        receiveIndex: try index(own), peerIndex: try index(peer), now: World.start)
      epoch.counter = try #require(UInt64(packet.counter, radix: 16))
      let text = try #require([UInt8](hex: packet.plaintext))
      var datagram = [UInt8](repeating: 0, count: 32 + text.count)
      datagram.replaceSubrange(16..<16 + text.count, with: text)
      var span = datagram.mutableSpan
      epoch.seal(&span, at: 0, count: text.count)
      #expect(datagram.hex == packet.datagram)
    }
  }

  @Test func rekeying() throws {
    let keys = try KeyExchangeSecret(
      x25519Seed: file.rekey("x25519_private"), mlkemSeed: file.rekey("mlkem_seed"))
    let request = try file.rekey("request")
    let answer = try file.rekey("answer")
    let parsedRequest = try #require(RekeyMessage(request))
    let parsedAnswer = try #require(RekeyMessage(answer))
    #expect(Array(parsedRequest.exchange) == keys.offer.bytes)
    #expect(parsedRequest.generation == 1 && parsedAnswer.generation == 1)
    #expect(
      RekeyMessage.encode(
        RekeyMessage.request, generation: 1, receiverIndex: parsedRequest.receiverIndex,
        exchange: keys.offer.bytes) == request)
    let exchange = try #require(KeyExchangeAnswer(parsedAnswer.exchange))
    let shared = try keys.open(exchange)
    #expect(try shared.bytes == file.rekey("shared"))
    let root = try TransportKeys.nextRoot(
      file.value("root"), request: request, answer: answer, shared: shared)
    #expect(try root == file.rekey("root"))
    #expect(try TransportKeys(root: root).initiatorToResponder == file.rekey("key_i2r"))
    #expect(try TransportKeys(root: root).responderToInitiator == file.rekey("key_r2i"))
  }
}
