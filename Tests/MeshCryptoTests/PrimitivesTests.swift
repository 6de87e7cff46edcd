import Crypto
import Foundation
import MeshCrypto
import RepeatableRandom
import Testing

@Suite struct PrimitivesTests {
  struct HMACVector: Sendable {
    let key: [UInt8]
    let data: [UInt8]
    let sha256: String
    let sha512: String

    init(_ key: [UInt8], _ data: [UInt8], _ sha256: String, _ sha512: String) {
      self.key = key
      self.data = data
      self.sha256 = sha256
      self.sha512 = sha512
    }
  }

  /// RFC 4231 §4.2 to §4.8; of case 5 the RFC gives the first 128 bits only.
  static let rfc4231 = [
    HMACVector(
      [UInt8](repeating: 0x0b, count: 20), Array("Hi There".utf8),
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
      "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
        + "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854"),
    HMACVector(
      Array("Jefe".utf8), Array("what do ya want for nothing?".utf8),
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
      "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
        + "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"),
    HMACVector(
      [UInt8](repeating: 0xaa, count: 20), [UInt8](repeating: 0xdd, count: 50),
      "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
      "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39"
        + "bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292fb"),
    HMACVector(
      Array(1...25), [UInt8](repeating: 0xcd, count: 50),
      "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
      "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3db"
        + "a91ca5c11aa25eb4d679275cc5788063a5f19741120c4f2de2adebeb10a298dd"),
    HMACVector(
      [UInt8](repeating: 0x0c, count: 20), Array("Test With Truncation".utf8),
      "a3b6167473100ee06e0c796c2955552b", "415fad6271580a531d4179bc891d87a6"),
    HMACVector(
      [UInt8](repeating: 0xaa, count: 131),
      Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
      "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352"
        + "6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598"),
    HMACVector(
      [UInt8](repeating: 0xaa, count: 131),
      Array(
        ("This is a test using a larger than block-size key and a larger than block-size data. The key "
          + "needs to be hashed before being used by the HMAC algorithm.").utf8),
      "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
      "e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944"
        + "b6022cac3c4982b10d5eeb55c3e4de15134676fb6de0446065c97440fa8c6a58"),
  ]

  @Test func expandingToNothingIsNothing() {
    #expect(Primitives.hkdfExpandSHA512(key: [UInt8](repeating: 1, count: 64), info: [2], count: 0).isEmpty)
  }

  @Test(arguments: rfc4231) func theHMACsAreThoseOfRFC4231(vector: HMACVector) {
    #expect(hex(Primitives.hmacSHA256(key: vector.key, vector.data)).hasPrefix(vector.sha256))
    #expect(hex(Primitives.hmacSHA512(key: vector.key, vector.data)).hasPrefix(vector.sha512))
  }

  /// FIPS 180-4's example message.
  @Test func theHashesOfABC() {
    let abc = Array("abc".utf8)
    #expect(
      hex(Primitives.sha256(abc)) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(
      hex(Primitives.sha512(abc)) == "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        + "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f")
    #expect(Primitives.sha512(parts: [[97], [], [98, 99]]) == Primitives.sha512(abc))
    #expect(Primitives.sha512(parts: []) == Primitives.sha512([]))
  }

  /// RFC 5869 §2.2 and §2.3 spelled out with HMAC; the RFC's own vectors are for SHA-256 and SHA-1 only.
  @Test func theKeyDerivationIsThatOfRFC5869() {
    var random = SplitMix64(seed: 1)
    func hmac(_ key: [UInt8], _ message: [UInt8]) -> [UInt8] {
      Array(HMAC<SHA512>.authenticationCode(for: message, using: SymmetricKey(data: key)))
    }
    for count in [1, 32, 63, 64, 65, 128, 200, 1_000, 16_320] {
      let salt = random.bytes(count % 90)
      let inputKey = random.bytes(count % 77)
      let info = random.bytes(count % 33)
      let key = Primitives.hkdfExtractSHA512(salt: salt, inputKey: inputKey)
      #expect(key == hmac(salt.isEmpty ? [UInt8](repeating: 0, count: 64) : salt, inputKey))
      var block: [UInt8] = []
      var expected: [UInt8] = []
      var index: UInt8 = 0
      while expected.count < count {
        index += 1
        block = hmac(key, block + info + [index])
        expected += block
      }
      #expect(
        Primitives.hkdfExpandSHA512(key: key, info: info, count: count) == Array(expected.prefix(count)))
    }
  }

  @Test func equalityOfSecretsIsEquality() {
    var random = SplitMix64(seed: 2)
    for count in 0..<40 {
      let a = random.bytes(count)
      #expect(constantTimeEqual(a, Array(a)))
      #expect(!constantTimeEqual(a, a + [0]))
      for position in a.indices {
        var b = a
        b[position] ^= 1 << UInt8(position % 8)
        #expect(!constantTimeEqual(a, b))
      }
    }
  }
}

func hex(_ bytes: [UInt8]) -> String {
  bytes.map { String(format: "%02x", $0) }.joined()
}
