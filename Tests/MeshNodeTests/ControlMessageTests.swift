import Kademlia
import MeshCrypto
import MeshNode
import MeshWire
import Testing

@Suite("Control messages")
struct ControlMessageTests {
  private static func samples() throws -> [ControlMessage] {
    let key = try IdentityKey().keyHash
    let id = ControlMessage.RequestID(number: 0x0102_0304)
    let hint = ContactHint(keyHash: key, endpoint: Endpoint(.v4(0xc612_0001), port: 8_443), sequence: 7)
    return [
      .ping(id), .pong(id, peerAdded: true), .findNode(id, target: key.peerID),
      .nodes(id, Array(repeating: hint, count: 20)), .getRecord(id, target: key.peerID), .record(id, nil),
      .record(id, .init(bundle: [1, 2, 3])), .redeemInvite(id, secret: [UInt8](repeating: 9, count: 32)),
      .inviteAnswer(id, accepted: false), .announce(.init(bundle: [4, 5])),
    ]
  }

  @Test("every message is read back as it was written")
  func roundTrip() throws {
    for message in try Self.samples() {
      #expect(try ControlMessage(decoding: message.encoded) == message)
    }
  }

  @Test("a message cut short, or with bytes behind it, is refused")
  func lengths() throws {
    for message in try Self.samples() {
      switch message {
      case .record(_, .some), .announce: continue  // a record's own parser judges its length
      default: break
      }
      let bytes = message.encoded
      for length in bytes.indices {
        #expect(throws: DecodingFailure.self) { try ControlMessage(decoding: Array(bytes.prefix(length))) }
      }
      #expect(throws: DecodingFailure.trailingBytes) { try ControlMessage(decoding: bytes + [0]) }
    }
  }

  @Test("counts and sizes over their limits are refused")
  func limits() throws {
    #expect(throws: DecodingFailure.tooLarge) { try ControlMessage(decoding: [4, 0, 0, 0, 1, 21]) }
    let huge = [9] + [UInt8](repeating: 0, count: UnverifiedPeerRecord.sizeLimit + 1)
    #expect(throws: DecodingFailure.tooLarge) { try ControlMessage(decoding: huge) }
    #expect(throws: DecodingFailure.badValue) { try ControlMessage(decoding: [0x7f, 0, 0, 0, 1]) }
    #expect(throws: DecodingFailure.badValue) { try ControlMessage(decoding: [2, 0, 0, 0, 1, 2]) }
  }

  @Test("twenty hints fit one datagram")
  func hintsFit() throws {
    let hints = try Self.samples()[3].encoded
    #expect(hints.count == 1 + 4 + 1 + 20 * 59)
    #expect(hints.count + 32 + 1 <= 1_232)
  }
}
