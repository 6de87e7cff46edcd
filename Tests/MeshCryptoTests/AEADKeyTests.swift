import Crypto
import Foundation
import MeshCrypto
import MeshWire
import RepeatableRandom
import Testing

@Suite struct AEADKeyTests {
  /// The GCM specification's test cases 13 and 14 (McGrew and Viega; the AES-256 ones whose nonce begins with
  /// zeros).
  @Test func aesGCMGivesTheSpecificationsVectors() throws {
    let key = AEADKey(.aes256GCM, key: [UInt8](repeating: 0, count: 32))
    let empty = key.seal([], counter: 0, associated: [])
    #expect(empty.text == [])
    #expect(empty.tag.hex == "530f8afbc74536b9a963b4f1c4cb738b")
    let block = key.seal([UInt8](repeating: 0, count: 16), counter: 0, associated: [])
    #expect(block.text.hex == "cea7403d4d606b6e074ec5d3baf39d18")
    #expect(block.tag.hex == "d0d1c8a799996bf0265b98b5d48ab919")
    #expect(
      key.open(block.text, counter: 0, associated: [], tag: block.tag) == [UInt8](repeating: 0, count: 16))
  }

  /// RFC 8439 appendix A.5, whose nonce is four zero bytes and a counter as ours are.
  @Test func chaChaPolyGivesTheRFCsVector() throws {
    let key = try #require([UInt8](hex: "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0"))
    let associated = try #require([UInt8](hex: "f33388860000000000004e91"))
    let text =
      "Internet-Drafts are draft documents valid for a maximum of six months and may be updated, "
      + "replaced, or obsoleted by other documents at any time. It is inappropriate to use Internet-Drafts "
      + "as reference material or to cite them other than as /\u{201c}work in progress./\u{201d}"
    let sealed = AEADKey(.chaCha20Poly1305, key: key)
      .seal(Array(text.utf8), counter: 0x0102_0304_0506_0708, associated: associated)
    #expect(
      sealed.text.hex
        == "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e"
        + "382d26b0bdb7b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd"
        + "60f982b1ff37c8559797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c76"
        + "7b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a"
        + "0d072b04b3564eea1b422273f548271a0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a67276"
        + "27097a1049e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b0270"
        + "9b")
    #expect(sealed.tag.hex == "eead9d67890cbb22392336fea1851f38")
  }

  /// libcrypto here and BoringSSL in swift-crypto are two implementations.
  @Test(arguments: AEADSuite.allCases) func swiftCryptoAgrees(suite: AEADSuite) throws {
    var random = SplitMix64(seed: UInt64(suite.rawValue))
    for count in Array(0..<70) + [255, 256, 1_200, 1_500, 65_535] {
      let key = random.bytes(32)
      let text = random.bytes(count)
      let associated = random.bytes(count % 41)
      let counter = random.next()
      var nonce = ByteWriter()
      nonce.write(zeros: 4)
      nonce.write(counter)
      let sealed = AEADKey(suite, key: key).seal(text, counter: counter, associated: associated)
      let reference: (ciphertext: Data, tag: Data)
      switch suite {
      case .aes256GCM:
        let box = try AES.GCM.seal(
          text, using: SymmetricKey(data: key), nonce: AES.GCM.Nonce(data: nonce.bytes),
          authenticating: associated)
        reference = (box.ciphertext, box.tag)
      case .chaCha20Poly1305:
        let box = try ChaChaPoly.seal(
          text, using: SymmetricKey(data: key), nonce: ChaChaPoly.Nonce(data: nonce.bytes),
          authenticating: associated)
        reference = (box.ciphertext, box.tag)
      }
      #expect(sealed.text == Array(reference.ciphertext))
      #expect(sealed.tag == Array(reference.tag))
    }
  }

  @Test(arguments: AEADSuite.allCases) func oneContextServesManyPacketsBothWays(suite: AEADSuite) {
    var random = SplitMix64(seed: 9)
    let key = AEADKey(suite, key: random.bytes(32))
    for counter in UInt64(0)..<300 {
      let text = random.bytes(Int.random(in: 0...200, using: &random))
      let sealed = key.seal(text, counter: counter, associated: [1])
      if counter.isMultiple(of: 3) {
        #expect(key.open(sealed.text, counter: counter + 1, associated: [1], tag: sealed.tag) == nil)
      }
      #expect(key.open(sealed.text, counter: counter, associated: [1], tag: sealed.tag) == text)
    }
  }

  /// Without the tag's check any bit can be turned on the way.
  @Test(arguments: AEADSuite.allCases) func everyChangedBitIsFound(suite: AEADSuite) {
    var random = SplitMix64(seed: 10)
    let key = AEADKey(suite, key: random.bytes(32))
    let text = random.bytes(21)
    let associated = random.bytes(5)
    let sealed = key.seal(text, counter: 7, associated: associated)
    func changed(_ bytes: [UInt8], _ bit: Int) -> [UInt8] {
      var bytes = bytes
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      return bytes
    }
    for bit in 0..<(8 * text.count) {
      #expect(key.open(changed(sealed.text, bit), counter: 7, associated: associated, tag: sealed.tag) == nil)
    }
    for bit in 0..<(8 * sealed.tag.count) {
      #expect(key.open(sealed.text, counter: 7, associated: associated, tag: changed(sealed.tag, bit)) == nil)
    }
    for bit in 0..<(8 * associated.count) {
      #expect(key.open(sealed.text, counter: 7, associated: changed(associated, bit), tag: sealed.tag) == nil)
    }
    for bit in 0..<64 {
      #expect(key.open(sealed.text, counter: 7 ^ 1 << bit, associated: associated, tag: sealed.tag) == nil)
    }
    #expect(key.open(sealed.text, counter: 7, associated: [], tag: sealed.tag) == nil)
    #expect(
      key.open(Array(sealed.text.dropLast()), counter: 7, associated: associated, tag: sealed.tag) == nil)
    for count in [0, 4, 12, 15, 17] {
      let tag = Array((sealed.tag + [0]).prefix(count))
      #expect(key.open(sealed.text, counter: 7, associated: associated, tag: tag) == nil)
    }
    #expect(
      AEADKey(suite, key: random.bytes(32))
        .open(sealed.text, counter: 7, associated: associated, tag: sealed.tag) == nil)
    #expect(key.open(sealed.text, counter: 7, associated: associated, tag: sealed.tag) == text)
  }
}
