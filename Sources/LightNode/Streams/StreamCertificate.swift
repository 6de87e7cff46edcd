import Crypto
import Daemon
import Foundation
import MeshCrypto
import SwiftASN1
import X509

/// The certificate that a public node shows to clients of its TLS streams: self-signed, P-256, made once and
/// kept in the state directory. Clients know it by its SHA-256, which the node's signed record names; what it
/// says of names and times is for the networks in between.
struct StreamCertificate: Sendable, Equatable {
  /// DER.
  let certificate: [UInt8]
  /// PEM.
  let privateKey: [UInt8]

  /// What records say of it.
  var hash: [UInt8] { Primitives.sha256(certificate) }

  /// How long it says to be good. Nobody who goes by the record looks at it.
  static let life = TimeInterval(20 * 365 * 86_400)
  /// For a machine whose clock is set back later.
  private static let earlier = TimeInterval(30 * 86_400)
  private static let sizeLimit = 16 << 10

  /// Reads it from the state directory, or makes it. Throws `StateFileError`, or ``StateFolder/Damaged``.
  static func kept(in directory: String, now: Date) throws -> StreamCertificate {
    let file = StateFile(path: directory + "/stream.pem", sizeLimit: sizeLimit, isSecret: true)
    if let bytes = try file.read() {
      do { return try StreamCertificate(pem: bytes) } catch {
        throw StateFolder.Damaged(
          path: file.path, reason: "it does not hold a key and a certificate",
          next: "remove it (rm \(file.path)): another is made, and the record names that")
      }
    }
    let made = try StreamCertificate.made(now: now)
    try file.write(made.pem)
    return made
  }

  /// A new one.
  static func made(now: Date) throws -> StreamCertificate {
    let key = P256.Signing.PrivateKey()
    let name = try DistinguishedName { CommonName("relay") }
    let certificate = try Certificate(
      version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: .init(key.publicKey),
      notValidBefore: now - earlier, notValidAfter: now + life, issuer: name, subject: name,
      signatureAlgorithm: .ecdsaWithSHA256, extensions: Certificate.Extensions(),
      issuerPrivateKey: .init(key))
    var serializer = DER.Serializer()
    try serializer.serialize(certificate)
    return StreamCertificate(
      certificate: serializer.serializedBytes, privateKey: Array((key.pemRepresentation + "\n").utf8))
  }

  private init(certificate: [UInt8], privateKey: [UInt8]) {
    self.certificate = certificate
    self.privateKey = privateKey
  }

  /// The file: the key, then the certificate.
  private var pem: [UInt8] {
    let document = PEMDocument(type: "CERTIFICATE", derBytes: certificate)
    return privateKey + Array((document.pemString + "\n").utf8)
  }

  private init(pem: [UInt8]) throws {
    let documents = try PEMDocument.parseMultiple(pemString: String(decoding: pem, as: UTF8.self))
    guard documents.count == 2 else { throw NotTwoDocuments() }
    let key = try P256.Signing.PrivateKey(pemRepresentation: documents[0].pemString)
    let shown = try Certificate(pemDocument: documents[1])
    guard shown.publicKey == Certificate.PublicKey(key.publicKey) else { throw NotTwoDocuments() }
    certificate = documents[1].derBytes
    privateKey = Array((documents[0].pemString + "\n").utf8)
  }

  private struct NotTwoDocuments: Error {}
}
