import Foundation
import NIOSSL
public import StrictConfiguration

/// Why a certificate or its key cannot be used, for the operator.
public struct TLSFileProblem: Error, Hashable, Sendable, CustomStringConvertible {
  /// The configuration key that names the file.
  let key: String
  let path: String
  let problem: String

  /// One line: the file and what is wrong with it.
  public var description: String { "\(path): \(problem)" }
}

extension BackboneConfiguration {
  /// Reads the certificate and the key that the listeners are to use, and refuses what no server can start
  /// with, and a key that everybody on the machine may read.
  public func checkTLSFiles() throws(ConfigurationError) {
    do { _ = try listeners.first?.tls?.context() } catch {
      throw source.refusal(error.key, error.description)
    }
  }
}

extension BackboneService.TLSFiles {
  /// What new connections need: TLS 1.3, and the hybrid group first.
  func context() throws(TLSFileProblem) -> NIOSSLContext {
    try checkReadable(certificateFile, "tls.certificate_file")
    let certificates: [NIOSSLCertificate]
    do { certificates = try NIOSSLCertificate.fromPEMFile(certificateFile) } catch {
      throw problem("tls.certificate_file", certificateFile, "holds no certificate in PEM")
    }
    try checkReadable(keyFile, "tls.key_file")
    let attributes = try? FileManager.default.attributesOfItem(atPath: keyFile)
    let mode = (attributes?[.posixPermissions] as? NSNumber)?.intValue ?? 0
    guard mode & 0o007 == 0 else {
      throw problem("tls.key_file", keyFile, "everybody may read it: run chmod o= \(keyFile)")
    }
    let key: NIOSSLPrivateKey
    do { key = try NIOSSLPrivateKey(file: keyFile, format: .pem) } catch {
      throw problem("tls.key_file", keyFile, "holds no private key in PEM without a passphrase")
    }
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: certificates.map { .certificate($0) }, privateKey: .privateKey(key))
    configuration.minimumTLSVersion = .tlsv13
    configuration.curves = [.x25519_MLKEM768, .x25519, .secp256r1, .secp384r1]
    do { return try NIOSSLContext(configuration: configuration) } catch {
      throw problem("tls.key_file", keyFile, "is not the key of \(certificateFile)")
    }
  }

  private func checkReadable(_ path: String, _ key: String) throws(TLSFileProblem) {
    guard unsafe access(path, R_OK) == 0 else {
      throw problem(key, path, unsafe String(cString: strerror(errno)))
    }
  }

  private func problem(_ key: String, _ path: String, _ problem: String) -> TLSFileProblem {
    TLSFileProblem(key: key, path: path, problem: problem)
  }
}
