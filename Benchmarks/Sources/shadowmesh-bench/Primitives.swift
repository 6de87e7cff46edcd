import Crypto
import Foundation

/// Mean processor time of swift-crypto's own operations, in microseconds.
struct Primitives: Codable {
  var signMicroseconds: Double
  var verifyMicroseconds: Double
  var decodeSigningKeyMicroseconds: Double
  var kemKeyMicroseconds: Double
  var encapsulateMicroseconds: Double
  var decapsulateMicroseconds: Double
  var agreementKeyMicroseconds: Double
  var agreeMicroseconds: Double

  static func measured() throws -> Primitives {
    let message = Data(repeating: 7, count: 64)
    let context = Data("shadowmesh/1 bench".utf8)
    let signing = try MLDSA87.PrivateKey()
    let verifying = signing.publicKey
    let kem = try MLKEM1024.PrivateKey()
    let kemPublic = kem.publicKey
    let encapsulation = try kemPublic.encapsulate()
    let own = Curve25519.KeyAgreement.PrivateKey()
    let other = Curve25519.KeyAgreement.PrivateKey().publicKey
    return Primitives(
      signMicroseconds: try CPUClock.mean(2_000) {
        _ = try signing.signature(for: message, context: context)
      },
      verifyMicroseconds: try verifyMicroseconds(count: 2_000),
      decodeSigningKeyMicroseconds: try CPUClock.mean(2_000) {
        _ = try MLDSA87.PublicKey(rawRepresentation: verifying.rawRepresentation)
      },
      kemKeyMicroseconds: try CPUClock.mean(2_000) {
        _ = try MLKEM1024.PrivateKey().publicKey.rawRepresentation
      },
      encapsulateMicroseconds: try CPUClock.mean(2_000) {
        _ = try MLKEM1024.PublicKey(rawRepresentation: kemPublic.rawRepresentation).encapsulate()
      },
      decapsulateMicroseconds: try CPUClock.mean(2_000) {
        _ = try kem.decapsulate(encapsulation.encapsulated)
      },
      agreementKeyMicroseconds: CPUClock.mean(2_000) {
        _ = Curve25519.KeyAgreement.PrivateKey().publicKey.rawRepresentation
      },
      agreeMicroseconds: try CPUClock.mean(2_000) { _ = try own.sharedSecretFromKeyAgreement(with: other) })
  }

  /// Mean processor time of one ML-DSA-87 signature check.
  static func verifyMicroseconds(count: Int) throws -> Double {
    let message = Data(repeating: 7, count: 64)
    let context = Data("shadowmesh/1 bench".utf8)
    let signing = try MLDSA87.PrivateKey()
    let verifying = signing.publicKey
    let signature = try signing.signature(for: message, context: context)
    return CPUClock.mean(count) { _ = verifying.isValidSignature(signature, for: message, context: context) }
  }

  /// What one SMH/1 handshake consists of, both sides together (SMH1.md §4): two signatures, two
  /// verifications, the decoding of each public key once, one key encapsulation, two X25519 keys and two
  /// agreements.
  var handshakeMicroseconds: Double {
    2 * signMicroseconds + 2 * verifyMicroseconds + 2 * decodeSigningKeyMicroseconds + kemKeyMicroseconds
      + encapsulateMicroseconds + decapsulateMicroseconds + 2 * agreementKeyMicroseconds
      + 2 * agreeMicroseconds
  }
}
