import MeshPaths
import MeshWire
import Testing

/// RFC 5769: each vector reads as the RFC says, and every bit of it counts.
@Suite struct STUNVectorTests {
  private static let transaction = [UInt8](hex: "b7e7a701bc34d686fa87dfae")!
  private static let password = Array("VOkJxbRl1RmTxUk/WvJxBt".utf8)

  /// §2.1
  private static let request = [UInt8](
    hex: "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74"
      + "002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020"
      + "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf")!
  /// §2.2
  private static let answerV4 = [UInt8](
    hex: "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
      + "002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
      + "80280004c07d4c96")!
  /// §2.3
  private static let answerV6 = [UInt8](
    hex: "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
      + "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
      + "00080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c")!
  /// §2.4
  private static let longTerm = [UInt8](
    hex: "000100602112a44278ad3433c6ad72c029da412e"
      + "00060012e3839ee38388e383aae38383e382afe382b90000"
      + "0015001c662f2f3439396b39353464364f4c33346f4c39465354767936347341"
      + "0014000b6578616d706c652e6f726700"
      + "00080014f67024656dd64a3e02b8e0712e85c9a28ca89666")!

  private func isIntact(_ vector: [UInt8], key: [UInt8]) throws -> Bool {
    let size = vector.count - (try STUNMessage(decoding: vector).hasFingerprint ? 8 : 0)
    var sealed = Array(vector[..<(size - 24)])
    sealed[2] = 0
    sealed[3] = UInt8(size - 20)
    return SHA1.hmac(sealed, key: key) == Array(vector[(size - 20)..<size])
  }

  @Test func `2.1: a request with short-term credentials`() throws {
    let message = try STUNMessage(decoding: Self.request)
    #expect(message.messageClass == .request)
    #expect(message.method == STUNMessage.binding)
    #expect(message.transaction.bytes == Self.transaction)
    #expect(message.hasFingerprint)
    #expect(message.attributes.first == .software("STUN test client"))
    #expect(message.attributes.contains(.raw(type: 0x0024, value: [0x6e, 0, 1, 0xff])))
    #expect(
      message.attributes.contains(.raw(type: 0x8029, value: [UInt8](hex: "932ff9b151263b36")!)))
    #expect(message.attributes.contains(.raw(type: 0x0006, value: Array("evtj:h6vY".utf8))))
    // PRIORITY is ICE's, which nobody here speaks.
    #expect(message.unknownRequiredTypes == [0x0024])
    #expect(try isIntact(Self.request, key: Self.password))
  }

  @Test func `2.2: an answer with an IPv4 address`() throws {
    let message = try STUNMessage(decoding: Self.answerV4)
    #expect(message.messageClass == .success)
    #expect(message.transaction.bytes == Self.transaction)
    #expect(message.mappedEndpoint == Endpoint("192.0.2.1:32853"))
    #expect(message.attributes.first == .software("test vector"))
    #expect(message.unknownRequiredTypes.isEmpty)
    #expect(try isIntact(Self.answerV4, key: Self.password))
  }

  @Test func `2.3: an answer with an IPv6 address`() throws {
    let message = try STUNMessage(decoding: Self.answerV6)
    #expect(message.mappedEndpoint == Endpoint("[2001:db8:1234:5678:11:2233:4455:6677]:32853"))
    #expect(try isIntact(Self.answerV6, key: Self.password))
  }

  @Test func `2.4: a request with long-term credentials`() throws {
    let message = try STUNMessage(decoding: Self.longTerm)
    #expect(!message.hasFingerprint)
    #expect(message.transaction.bytes == [UInt8](hex: "78ad3433c6ad72c029da412e"))
    #expect(message.attributes.contains(.raw(type: 0x0006, value: Array("マトリックス".utf8))))
    #expect(message.attributes.contains(.raw(type: 0x0014, value: Array("example.org".utf8))))
    #expect(
      message.attributes.contains(
        .raw(type: 0x0015, value: Array("f//499k954d6OL34oL9FSTvy64sA".utf8))))
    #expect(message.unknownRequiredTypes.isEmpty)
    // MD5 of the username, the realm and the password that the RFC gives.
    let key = try #require([UInt8](hex: "e8ca7ad59d5eb0518e312911d2dab2a9"))
    #expect(try isIntact(Self.longTerm, key: key))
  }

  @Test(arguments: [request, answerV4, answerV6])
  func `a fingerprint catches every single bit`(vector: [UInt8]) {
    for bit in 0..<8 * vector.count {
      var altered = vector
      altered[bit / 8] ^= 1 << (bit % 8)
      guard let message = try? STUNMessage(decoding: altered) else { continue }
      // A flip in the type of the fingerprint makes it an attribute like any other.
      #expect(!message.hasFingerprint, "bit \(bit)")
    }
  }

  @Test func `what follows the seal is ignored`() throws {
    var bytes = Self.longTerm
    bytes[3] += 12
    bytes += [0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]
    #expect(try STUNMessage(decoding: bytes).mappedEndpoint == nil)
  }
}
