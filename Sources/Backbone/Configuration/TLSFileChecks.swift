import Foundation
import NIOSSL
public import StrictConfiguration

extension BackboneConfiguration {
  /// Reads the certificate and the key that the listeners are to use, and refuses what no server can start
  /// with, and a key that everybody on the machine may read.
  public func checkTLSFiles() throws(ConfigurationError) {
    guard let files = listeners.first?.tls else { return }
    let certificates: [NIOSSLCertificate]
    try checkReadable(files.certificateFile, "tls.certificate_file")
    do { certificates = try NIOSSLCertificate.fromPEMFile(files.certificateFile) } catch {
      throw refusal("tls.certificate_file", files.certificateFile, "holds no certificate in PEM")
    }
    try checkReadable(files.keyFile, "tls.key_file")
    let attributes = try? FileManager.default.attributesOfItem(atPath: files.keyFile)
    let mode = (attributes?[.posixPermissions] as? NSNumber)?.intValue ?? 0
    guard mode & 0o007 == 0 else {
      throw refusal("tls.key_file", files.keyFile, "everybody may read it: run chmod o= \(files.keyFile)")
    }
    let key: NIOSSLPrivateKey
    do { key = try NIOSSLPrivateKey(file: files.keyFile, format: .pem) } catch {
      throw refusal("tls.key_file", files.keyFile, "holds no private key in PEM without a passphrase")
    }
    let server = TLSConfiguration.makeServerConfiguration(
      certificateChain: certificates.map { .certificate($0) }, privateKey: .privateKey(key))
    do { _ = try NIOSSLContext(configuration: server) } catch {
      throw refusal("tls.key_file", files.keyFile, "is not the key of \(files.certificateFile)")
    }
  }

  private func checkReadable(_ path: String, _ key: String) throws(ConfigurationError) {
    guard unsafe access(path, R_OK) == 0 else {
      throw refusal(key, path, unsafe String(cString: strerror(errno)))
    }
  }

  private func refusal(_ key: String, _ path: String, _ problem: String) -> ConfigurationError {
    source.refusal(key, "\(path): \(problem)")
  }
}
