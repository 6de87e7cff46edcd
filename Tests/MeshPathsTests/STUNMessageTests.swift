import MeshWire
import RepeatableRandom
import Testing

@testable import MeshPaths

@Suite struct STUNMessageTests {
  private func transaction(_ random: inout SplitMix64) -> STUNTransaction {
    STUNTransaction(random.bytes(12))!
  }

  private func endpoint(_ random: inout SplitMix64) -> Endpoint {
    let address = IPAddress(random.bytes(Bool.random(using: &random) ? 4 : 16))!
    return Endpoint(address, port: UInt16.random(in: 0 ... .max, using: &random))
  }

  private func attribute(_ random: inout SplitMix64) -> STUNAttribute {
    switch Int.random(in: 0..<9, using: &random) {
    case 0: return .mappedAddress(endpoint(&random))
    case 1: return .xorMappedAddress(endpoint(&random))
    case 2: return .otherAddress(endpoint(&random))
    case 3: return .responseOrigin(endpoint(&random))
    case 4: return .changeRequest(address: .random(using: &random), port: .random(using: &random))
    case 5: return .software(String(repeating: "ü", count: Int.random(in: 0..<40, using: &random)))
    case 6: return .errorCode(Int.random(in: 300..<700, using: &random), reason: "why")
    case 7: return .unknownAttributes((0..<Int.random(in: 0..<5, using: &random)).map { UInt16($0) })
    default:
      return .raw(type: 0xc000, value: random.bytes(Int.random(in: 0..<30, using: &random)))
    }
  }

  private func message(_ random: inout SplitMix64) -> STUNMessage {
    STUNMessage(
      STUNMessage.Class.allCases.randomElement(using: &random)!,
      method: UInt16.random(in: 0..<0x1000, using: &random), transaction(&random),
      attributes: (0..<Int.random(in: 0..<8, using: &random)).map { _ in attribute(&random) },
      hasFingerprint: .random(using: &random))
  }

  @Test(arguments: 0..<20) func `what is written is read again`(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    for _ in 0..<100 {
      let message = message(&random)
      #expect(try STUNMessage(decoding: message.encoded) == message)
    }
  }

  @Test(arguments: 0..<10) func `cut or altered bytes are read or refused, never trusted`(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    for _ in 0..<50 {
      let bytes = message(&random).encoded
      for count in 0..<bytes.count {
        #expect((try? STUNMessage(decoding: Array(bytes[..<count]))) == nil)
      }
      #expect(throws: DecodingFailure.trailingBytes) { try STUNMessage(decoding: bytes + [0, 0, 0, 0]) }
      for _ in 0..<200 {
        var altered = bytes
        let bit = Int.random(in: 0..<8 * altered.count, using: &random)
        altered[bit / 8] ^= 1 << (bit % 8)
        guard let read = try? STUNMessage(decoding: altered) else { continue }
        // Whatever was read can be written, and reads the same.
        #expect((try? STUNMessage(decoding: read.encoded)) == read)
      }
    }
  }

  @Test func `random bytes with a good header never crash`() {
    var random = SplitMix64(seed: 1)
    for _ in 0..<20_000 {
      let count = 4 * Int.random(in: 0..<20, using: &random)
      var bytes = STUNMessage(.request, transaction(&random)).encoded + random.bytes(count)
      bytes[3] = UInt8(count)
      if count >= 4, Bool.random(using: &random) { bytes[22] = 0 }
      _ = try? STUNMessage(decoding: bytes)
    }
  }

  @Test func `lengths that lie are refused`() throws {
    let transaction = try #require(STUNTransaction([UInt8](repeating: 7, count: 12)))
    let good = STUNMessage(.request, transaction, attributes: [.software("four")]).encoded
    var odd = good
    odd[3] -= 1
    #expect(throws: DecodingFailure.badValue) { try STUNMessage(decoding: odd) }
    var short = good
    short[3] -= 4
    #expect(throws: DecodingFailure.trailingBytes) { try STUNMessage(decoding: short) }
    var long = good
    long[23] = 5
    #expect(throws: DecodingFailure.truncated) { try STUNMessage(decoding: long) }
    var cookie = good
    cookie[4] ^= 1
    #expect(throws: DecodingFailure.unknownVersion) { try STUNMessage(decoding: cookie) }
    var top = good
    top[0] = 0x40
    #expect(throws: DecodingFailure.badValue) { try STUNMessage(decoding: top) }
    let huge = STUNMessage(
      .request, transaction,
      attributes: [.raw(type: 0x8000, value: [UInt8](repeating: 0, count: 700)), .software("x")])
    var twice = huge
    twice.attributes += huge.attributes
    #expect(throws: DecodingFailure.tooLarge) { try STUNMessage(decoding: twice.encoded) }
  }

  @Test func `a fingerprint is the last, or the message is refused`() throws {
    let transaction = try #require(STUNTransaction([UInt8](repeating: 7, count: 12)))
    var bytes = STUNMessage(.request, transaction).encoded
    bytes[3] = 12
    let fingerprint = CRC32.checksum(of: bytes) ^ STUNMessage.fingerprintMask
    bytes += [0x80, 0x28, 0, 4]
    bytes.append(bigEndian: fingerprint)
    bytes += [0x80, 0x22, 0, 0]
    #expect(throws: DecodingFailure.badValue) { try STUNMessage(decoding: bytes) }
  }

  @Test func `the classes and methods are where RFC 8489 has them`() throws {
    let transaction = try #require(STUNTransaction([UInt8](repeating: 7, count: 12)))
    let types: [(STUNMessage.Class, UInt16, [UInt8])] = [
      (.request, 1, [0x00, 0x01]), (.indication, 1, [0x00, 0x11]), (.success, 1, [0x01, 0x01]),
      (.failure, 1, [0x01, 0x11]), (.request, 0xfff, [0x3e, 0xef]), (.failure, 0xfff, [0x3f, 0xff]),
    ]
    for (messageClass, method, expected) in types {
      #expect(Array(STUNMessage(messageClass, method: method, transaction).encoded[..<2]) == expected)
    }
  }

  @Test func `SMH/1 and STUN are told apart by their first bytes`() throws {
    let transaction = try #require(STUNTransaction([UInt8](repeating: 7, count: 12)))
    let request = STUNMessage(.request, transaction).encoded
    let isSTUN = STUNMessage.hasCookie(request.span)
    #expect(isSTUN)
    // A transport packet: type 1, three zeros, and whatever the receiver's index is.
    let packet: [UInt8] = [1, 0, 0, 0] + request[4...]
    #expect(packet[1] == 0)
    let cut = Array(request[..<19])
    let isCutSTUN = STUNMessage.hasCookie(cut.span)
    #expect(!isCutSTUN)
    var other = request
    other[6] ^= 1
    let isOtherSTUN = STUNMessage.hasCookie(other.span)
    #expect(!isOtherSTUN)
  }

  @Test func `tries of one transaction are told apart, and other transactions from them`() {
    var random = SplitMix64(seed: 3)
    let base = transaction(&random)
    for number in 0..<16 { #expect(base.attempt(number).attemptNumber(of: base) == number) }
    #expect(transaction(&random).attemptNumber(of: base) == nil)
  }

  @Test func `the checksum is zip's`() {
    #expect(CRC32.checksum(of: Array("123456789".utf8)) == 0xcbf4_3926)
  }
}
