import Crypto

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What one side of a key exchange shows first: an X25519 key (RFC 7748) and an ML-KEM-1024 encapsulation key
/// (FIPS 203), both ephemeral. 1,600 bytes.
public struct KeyExchangeOffer: Hashable, Sendable {
  /// Size on the wire: X25519 32, ML-KEM-1024 encapsulation key 1,568.
  public static let size = 1_600

  public let bytes: [UInt8]

  /// Accepts exactly 1,600 bytes; `nil` for any other length.
  public init?(_ bytes: some Collection<UInt8>) {
    guard bytes.count == Self.size else { return nil }
    self.bytes = Array(bytes)
  }

  var x25519: ArraySlice<UInt8> { bytes[..<32] }
  var mlkem: ArraySlice<UInt8> { bytes[32...] }
}

/// The other side's answer: an X25519 key and an ML-KEM-1024 ciphertext. 1,600 bytes.
public struct KeyExchangeAnswer: Hashable, Sendable {
  /// Size on the wire: X25519 32, ML-KEM-1024 ciphertext 1,568.
  public static let size = 1_600

  public let bytes: [UInt8]

  /// Accepts exactly 1,600 bytes; `nil` for any other length.
  public init?(_ bytes: some Collection<UInt8>) {
    guard bytes.count == Self.size else { return nil }
    self.bytes = Array(bytes)
  }

  var x25519: ArraySlice<UInt8> { bytes[..<32] }
  var mlkem: ArraySlice<UInt8> { bytes[32...] }
}

/// X25519 shared secret ‖ ML-KEM shared secret, 64 bytes. A secret, so without equality and description.
public struct SharedSecret: Sendable {
  public static let size = 64
  public let bytes: [UInt8]

  /// Accepts exactly 64 bytes; `nil` for any other length.
  public init?(_ bytes: [UInt8]) {
    guard bytes.count == Self.size else { return nil }
    self.bytes = bytes
  }
}

/// Why a key exchange ended without a secret. All of them are the other side's doing, or the library's.
public enum KeyExchangeFailure: Error, Sendable {
  /// An X25519 key of low order: the secret would be all zero (RFC 7748 §6.1).
  case lowOrderPoint
  /// An encapsulation key that fails the check of FIPS 203 §7.2.
  case badEncapsulationKey
  /// A wrong length, or the library failed.
  case unusable
}

/// The secret halves behind a ``KeyExchangeOffer``. A secret, so without equality and description.
public struct KeyExchangeSecret: Sendable {
  private let x25519: Curve25519.KeyAgreement.PrivateKey
  private let mlkem: MLKEM1024.PrivateKey
  public let offer: KeyExchangeOffer

  /// Draws both keys from the system's randomness. About 0.1 ms.
  public init() throws(KeyExchangeFailure) {
    do {
      try self.init(x25519: Curve25519.KeyAgreement.PrivateKey(), mlkem: MLKEM1024.PrivateKey())
    } catch { throw .unusable }
  }

  /// Expands both keys from fixed bytes, for published test vectors only: X25519 32 bytes, ML-KEM d ‖ z 64
  /// bytes.
  public init(x25519Seed: [UInt8], mlkemSeed: [UInt8]) throws(KeyExchangeFailure) {
    do {
      try self.init(
        x25519: Curve25519.KeyAgreement.PrivateKey(rawRepresentation: x25519Seed),
        mlkem: MLKEM1024.PrivateKey(seedRepresentation: mlkemSeed, publicKey: nil))
    } catch { throw .unusable }
  }

  private init(
    x25519: Curve25519.KeyAgreement.PrivateKey, mlkem: MLKEM1024.PrivateKey
  ) throws {
    self.x25519 = x25519
    self.mlkem = mlkem
    let bytes = Array(x25519.publicKey.rawRepresentation) + Array(mlkem.publicKey.rawRepresentation)
    guard let offer = KeyExchangeOffer(bytes) else { throw KeyExchangeFailure.unusable }
    self.offer = offer
  }

  /// Finishes the exchange on the side that offered. An altered ciphertext gives another secret, not an error
  /// (FIPS 203 §6.3, implicit rejection): the transcript MAC finds it.
  public func open(_ answer: KeyExchangeAnswer) throws(KeyExchangeFailure) -> SharedSecret {
    let classical = try Self.agree(x25519, answer.x25519)
    do {
      let quantumSafe = try unsafe mlkem.decapsulate(answer.mlkem).withUnsafeBytes { unsafe Array($0) }
      guard let secret = SharedSecret(classical + quantumSafe) else { throw KeyExchangeFailure.unusable }
      return secret
    } catch { throw .unusable }
  }

  /// Answers an offer with fresh keys: the answer to send, and the secret both sides then share. About 0.1
  /// ms.
  public static func answer(
    _ offer: KeyExchangeOffer
  ) throws(KeyExchangeFailure) -> (answer: KeyExchangeAnswer, secret: SharedSecret) {
    let ephemeral = Curve25519.KeyAgreement.PrivateKey()
    let classical = try agree(ephemeral, offer.x25519)
    let encapsulationKey: MLKEM1024.PublicKey
    do { encapsulationKey = try MLKEM1024.PublicKey(rawRepresentation: offer.mlkem) } catch {
      throw .badEncapsulationKey
    }
    do {
      let result = try encapsulationKey.encapsulate()
      let quantumSafe = unsafe result.sharedSecret.withUnsafeBytes { unsafe Array($0) }
      let bytes = Array(ephemeral.publicKey.rawRepresentation) + Array(result.encapsulated)
      guard let answer = KeyExchangeAnswer(bytes), let secret = SharedSecret(classical + quantumSafe)
      else { throw KeyExchangeFailure.unusable }
      return (answer, secret)
    } catch { throw .unusable }
  }

  /// The library accepts points of low order and hands back zeros without a word, so we look.
  private static func agree(
    _ mine: Curve25519.KeyAgreement.PrivateKey, _ theirs: ArraySlice<UInt8>
  ) throws(KeyExchangeFailure) -> [UInt8] {
    let secret: [UInt8]
    do {
      let key = try Curve25519.KeyAgreement.PublicKey(rawRepresentation: theirs)
      secret = try unsafe mine.sharedSecretFromKeyAgreement(with: key).withUnsafeBytes { unsafe Array($0) }
    } catch { throw .lowOrderPoint }
    guard !constantTimeEqual(secret, [UInt8](repeating: 0, count: 32)) else { throw .lowOrderPoint }
    return secret
  }
}
