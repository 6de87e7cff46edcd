import HummingbirdCore
import Logging
import NIOCore
import NIOSSL
import Synchronization

/// The certificate and key that new connections get. They may be read again while the backbone runs, because
/// certificates are renewed every few weeks.
final class ServerCertificate: Sendable {
  private let files: BackboneService.TLSFiles
  private let current: Mutex<NIOSSLContext>

  /// Reads the files; throws ``TLSFileProblem``.
  init(_ files: BackboneService.TLSFiles) throws(TLSFileProblem) {
    self.files = files
    current = Mutex(try files.context())
  }

  /// Of the certificate that counts now.
  var context: NIOSSLContext { current.withLock { $0 } }

  /// Reads the files again. When they can't be used, the certificate before stays; throws
  /// ``TLSFileProblem``.
  func reload() throws(TLSFileProblem) {
    let fresh = try files.context()
    current.withLock { $0 = fresh }
  }
}

/// Puts TLS under another channel, with the certificate of the moment.
struct TLSConnections<Base: ServerChildChannel>: ServerChildChannel {
  let certificate: ServerCertificate
  let base: Base

  func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Base.Value> {
    channel.eventLoop.makeCompletedFuture {
      try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: certificate.context))
    }.flatMap { base.setup(channel: channel, logger: logger) }
  }

  func handle(value: Base.Value, logger: Logger) async { await base.handle(value: value, logger: logger) }
}
