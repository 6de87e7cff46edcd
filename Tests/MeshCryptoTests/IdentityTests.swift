import MeshCrypto
import MeshWire
import RepeatableRandom
import Testing

/// A fixed identity.
func identity(_ number: UInt8) throws -> IdentityKey {
  try IdentityKey(seed: [UInt8](repeating: number, count: IdentityKey.seedSize))
}

@Suite struct IdentityTests {
  /// Key hashes that PyPI `cryptography` 48 (OpenSSL) computes from the same seeds.
  @Test func aSeedGivesTheSameKeyAsInAnotherLibrary() throws {
    #expect(
      try IdentityKey(seed: [UInt8](repeating: 0, count: 32)).keyHash.description
        == "1d4a461707fc50a7ec93a9c02454778a8b82321ca460eea345e7bbfaff38a3aa")
    #expect(
      try IdentityKey(seed: Array(0..<32)).keyHash.description
        == "91dc389cfaa01470b7f66eee45a4ae9026d154817c754dfe22298b3fa241ffcd")
  }

  @Test func sizesAreThoseOfFIPS204() throws {
    let key = try identity(1)
    #expect(key.seed == [UInt8](repeating: 1, count: 32))
    #expect(key.publicKey.bytes.count == 2_592)
    #expect(try key.sign([], context: .login).count == 4_627)
    #expect(key.keyHash.bytes == Primitives.sha256(key.publicKey.bytes))
    #expect(key.publicKey == IdentityPublicKey(key.publicKey.bytes))
    #expect(try IdentityKey().keyHash != IdentityKey().keyHash)
  }

  @Test(arguments: [0, 31, 33, 64]) func otherSeedSizesAreRefused(count: Int) {
    #expect(throws: KeyFailure.badSeed) { try IdentityKey(seed: [UInt8](repeating: 1, count: count)) }
  }

  @Test(arguments: [0, 32, 2_591, 2_593]) func otherKeySizesAreRefused(count: Int) {
    #expect(IdentityPublicKey([UInt8](repeating: 1, count: count)) == nil)
  }

  @Test func theContextsAreTheDocumentsAndAllDiffer() {
    #expect(
      SignatureContext.allCases.map { String(decoding: $0.bytes, as: UTF8.self) }.sorted() == [
        "shadowmesh/1 hs-init", "shadowmesh/1 hs-resp", "shadowmesh/1 login", "shadowmesh/1 operator",
        "shadowmesh/1 peer-record", "shadowmesh/1 reservation",
      ])
  }

  /// Without contexts a signature made for a login could be used in a handshake (protocol.md §2, negative
  /// control).
  @Test(arguments: SignatureContext.allCases)
  func aSignatureMadeForOneUseFailsInEveryOther(context: SignatureContext) throws {
    let key = try identity(2)
    let message = Array("the same bytes".utf8)
    let signature = try key.sign(message, context: context)
    for other in SignatureContext.allCases {
      #expect(key.publicKey.verifies(signature, of: message, context: other) == (other == context))
    }
  }

  @Test func tamperedSignaturesAndForeignKeysFail() throws {
    var random = SplitMix64(seed: 1)
    let key = try identity(3)
    let message = random.bytes(100)
    let signature = try key.sign(message, context: .peerRecord)
    #expect(key.publicKey.verifies(signature, of: message, context: .peerRecord))
    #expect(!(try identity(4)).publicKey.verifies(signature, of: message, context: .peerRecord))
    for _ in 0..<40 {
      var bad = signature
      bad[Int.random(in: 0..<bad.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      #expect(!key.publicKey.verifies(bad, of: message, context: .peerRecord))
      var other = message
      other[Int.random(in: 0..<100, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      #expect(!key.publicKey.verifies(signature, of: other, context: .peerRecord))
    }
    for bad in [[], Array(signature.dropLast()), signature + [0], [UInt8](repeating: 0, count: 4_627)] {
      #expect(!key.publicKey.verifies(bad, of: message, context: .peerRecord))
    }
  }

  /// Hedged signing (FIPS 204 §3.4): the same input never gives the same signature.
  @Test func twoSignaturesOfOneMessageDiffer() throws {
    let key = try identity(5)
    #expect(try key.sign([1], context: .login) != key.sign([1], context: .login))
  }
}
