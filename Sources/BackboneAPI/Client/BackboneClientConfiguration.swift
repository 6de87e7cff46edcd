public import MeshCrypto
public import MeshWire

/// What a node must know of its backbone beforehand.
public struct BackboneClientConfiguration: Sendable {
  /// The backbone's origin as text, `https://backbone.example:8443`.
  public let url: String
  public let region: Region
  /// Pins the backbone. Without it the node cannot log in.
  public let backboneKey: KeyHash?
  /// PEM certificates to trust besides the system's.
  public let caFile: String?
  /// Permits `http://` to hosts other than this one.
  public let allowPlainHTTP: Bool
  /// A one-time secret for the first login, where the backbone wants one.
  public let invite: String?

  public init(
    url: String, region: Region, backboneKey: KeyHash?, caFile: String? = nil, allowPlainHTTP: Bool = false,
    invite: String? = nil
  ) {
    self.url = url
    self.region = region
    self.backboneKey = backboneKey
    self.caFile = caFile
    self.allowPlainHTTP = allowPlainHTTP
    self.invite = invite
  }

  /// Checks the URL, and that plain HTTP stays on this machine unless it was permitted.
  public func checkedOrigin() throws(BackboneClientError) -> Origin {
    guard let origin = Origin(url: url) else { throw .badURL(url) }
    guard origin.isEncrypted || origin.isLoopback || allowPlainHTTP else { throw .plainHTTPRefused(url) }
    return origin
  }
}
