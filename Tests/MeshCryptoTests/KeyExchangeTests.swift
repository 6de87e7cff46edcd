import MeshCrypto
import MeshWire
import RepeatableRandom
import Testing

@Suite struct KeyExchangeTests {
  @Test func bothSidesShareASecretOf64Bytes() throws {
    let secret = try KeyExchangeSecret()
    #expect(secret.offer.bytes.count == 1_600)
    let (answer, theirs) = try KeyExchangeSecret.answer(secret.offer)
    #expect(answer.bytes.count == 1_600)
    let ours = try secret.open(answer)
    #expect(ours.bytes == theirs.bytes)
    #expect(ours.bytes.count == SharedSecret.size)
    #expect(Set(ours.bytes).count > 8)
  }

  @Test func fixedSeedsGiveTheSameOffer() throws {
    var random = SplitMix64(seed: 1)
    let x25519 = random.bytes(32)
    let mlkem = random.bytes(64)
    let one = try KeyExchangeSecret(x25519Seed: x25519, mlkemSeed: mlkem)
    let two = try KeyExchangeSecret(x25519Seed: x25519, mlkemSeed: mlkem)
    #expect(one.offer == two.offer)
    let (answer, theirs) = try KeyExchangeSecret.answer(one.offer)
    #expect(try two.open(answer).bytes == theirs.bytes)
    #expect(throws: KeyExchangeFailure.self) {
      try KeyExchangeSecret(x25519Seed: Array(x25519.dropLast()), mlkemSeed: mlkem)
    }
    #expect(throws: KeyExchangeFailure.self) {
      try KeyExchangeSecret(x25519Seed: x25519, mlkemSeed: Array(mlkem.dropLast()))
    }
  }

  @Test(arguments: [0, 1_568, 1_599, 1_601]) func otherSizesAreRefused(count: Int) {
    let bytes = [UInt8](repeating: 1, count: count)
    #expect(KeyExchangeOffer(bytes) == nil)
    #expect(KeyExchangeAnswer(bytes) == nil)
    #expect(SharedSecret(bytes) == nil)
  }

  /// An altered half changes the secret, so that the transcript MAC finds it; neither half can be swapped
  /// unseen.
  @Test(arguments: [0, 20, 32, 800, 1_599]) func anAlteredAnswerGivesAnotherSecret(position: Int) throws {
    let secret = try KeyExchangeSecret()
    let (answer, theirs) = try KeyExchangeSecret.answer(secret.offer)
    var bytes = answer.bytes
    bytes[position] ^= 1
    let altered = try #require(KeyExchangeAnswer(bytes))
    #expect(try secret.open(altered).bytes != theirs.bytes)
  }

  /// The points of small order on Curve25519 and its twist, and their non-canonical spellings (RFC 7748 §6.1
  /// wants the all-zero result caught; swift-crypto lets it pass).
  static let lowOrder = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  ]

  /// Without this check the classical half of the secret is known to everybody.
  @Test(arguments: lowOrder) func lowOrderPointsAreRefusedOnBothSides(point: String) throws {
    let bad = try #require([UInt8](hex: point))
    let secret = try KeyExchangeSecret()
    let offer = try #require(KeyExchangeOffer(bad + secret.offer.bytes[32...]))
    #expect(throws: KeyExchangeFailure.lowOrderPoint) { try KeyExchangeSecret.answer(offer) }
    let (answer, _) = try KeyExchangeSecret.answer(secret.offer)
    let badAnswer = try #require(KeyExchangeAnswer(bad + answer.bytes[32...]))
    #expect(throws: KeyExchangeFailure.lowOrderPoint) { try secret.open(badAnswer) }
  }

  /// FIPS 203 §7.2: coefficients of 12 bits are below q = 3,329.
  @Test func anEncapsulationKeyOutOfRangeIsRefused() throws {
    var bytes = try KeyExchangeSecret().offer.bytes
    for position in 32..<(32 + 1_536) { bytes[position] = 0xff }
    let offer = try #require(KeyExchangeOffer(bytes))
    #expect(throws: KeyExchangeFailure.badEncapsulationKey) { try KeyExchangeSecret.answer(offer) }
  }
}
