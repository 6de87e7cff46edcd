extension BackboneService {
  /// An address to listen on, with TLS or without.
  public struct Listener: Sendable {
    public let host: String
    public let port: Int
    public let tls: TLSFiles?

    public init(host: String, port: Int, tls: TLSFiles?) {
      self.host = host
      self.port = port
      self.tls = tls
    }
  }

  /// PEM files.
  public struct TLSFiles: Hashable, Sendable {
    public let certificateFile: String
    public let keyFile: String

    public init(certificateFile: String, keyFile: String) {
      self.certificateFile = certificateFile
      self.keyFile = keyFile
    }
  }
}
