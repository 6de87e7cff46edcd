import Daemon
import Foundation
import SwiftASN1
import Testing
import X509

@testable import LightNode

@Suite("The certificate of a relay's streams")
struct StreamCertificateTests {
  private let now = Date(timeIntervalSince1970: 1_800_000_000)

  @Test("it is made once, and the same after a restart")
  func kept() throws {
    let folder = try TemporaryFolder()
    let first = try StreamCertificate.kept(in: folder.path, now: now)
    let second = try StreamCertificate.kept(in: folder.path, now: now + 86_400)
    #expect(first == second && first.hash.count == 32)
    #expect(try StreamCertificate.made(now: now).hash != first.hash)
  }

  @Test("it is a self-signed one of P-256 that is good for years")
  func contents() throws {
    let certificate = try Certificate(derEncoded: StreamCertificate.made(now: now).certificate)
    #expect(certificate.notValidBefore < now && certificate.notValidAfter > now + 10 * 365 * 86_400)
    #expect(certificate.publicKey.isValidSignature(certificate.signature, for: certificate))
    #expect(certificate.signatureAlgorithm == .ecdsaWithSHA256)
  }

  @Test("a damaged file is refused with what to do, and one that others can read as any secret")
  func damaged() throws {
    let folder = try TemporaryFolder()
    _ = try StreamCertificate.kept(in: folder.path, now: now)
    let path = folder.path + "/stream.pem"
    let whole = try String(contentsOfFile: path, encoding: .utf8)
    let other = try StreamCertificate.made(now: now)
    let halves = whole.components(separatedBy: "-----BEGIN CERTIFICATE-----")
    let foreign =
      String(decoding: other.privateKey, as: UTF8.self) + "-----BEGIN CERTIFICATE-----" + halves[1]
    for text in ["", "nonsense", halves[0], foreign, whole + whole] {
      try StateFile(path: path, sizeLimit: 64 << 10, isSecret: true).write(Array(text.utf8))
      #expect(throws: StateFolder.Damaged.self) { try StreamCertificate.kept(in: folder.path, now: now) }
    }
    try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: path)
    #expect(throws: StateFileError.self) { try StreamCertificate.kept(in: folder.path, now: now) }
  }
}
