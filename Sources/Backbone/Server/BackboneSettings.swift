public import BackboneAPI
public import MeshCrypto
import MeshWire

/// What a backbone is told about itself: policy, no files and no sockets.
public struct BackboneSettings: Sendable {
  public let region: Region
  /// The origins that it answers to, at least one.
  public let origins: [Origin]
  public let admission: Admission
  /// How long a session token counts.
  public let tokenLife: Duration
  /// What login answers name; those of this region are trusted as issuers of tokens.
  public let nodes: [BackboneNode]
  public let limits: Limits

  /// How fast requests may come.
  public struct Limits: Sendable, Hashable {
    /// Challenges and logins, from one /24 or /56: so many a minute, and as many at once.
    public var loginsPerMinute = 120
    /// Everything else without a good token, but `/health`, from one /24 or /56: so many a second, and five
    /// seconds' worth at once.
    public var strayRequestsPerSecond = 20
    /// Requests with a token, by one peer: so many a second, and five seconds' worth at once.
    public var requestsPerSecond = 50
    /// Records by one peer that may be stored: so many a second, and five seconds' worth at once.
    public var publicationsPerSecond = 1
    /// Lists of relays, which are large, by one peer: so many a minute, and as many at once.
    public var relayListsPerMinute = 12
    /// Buckets in each table.
    public var tableSize = 65_536

    public init() {}
  }

  public init(
    region: Region, origins: [Origin], admission: Admission = .open, tokenLife: Duration = .seconds(86_400),
    nodes: [BackboneNode] = [], limits: Limits = Limits()
  ) {
    self.region = region
    self.origins = origins
    self.admission = admission
    self.tokenLife = tokenLife
    self.nodes = nodes
    self.limits = limits
  }

  /// These, with the backbone itself in the list of nodes, unless its operator has put it there.
  public func announcing(_ itself: [BackboneNode]) -> BackboneSettings {
    let named = Set(nodes.map(\.keyHash))
    let missing = itself.filter { !named.contains($0.keyHash) }
    return BackboneSettings(
      region: region, origins: origins, admission: admission, tokenLife: tokenLife,
      nodes: Array((missing + nodes).prefix(BackboneNodeList.maximumCount)), limits: limits)
  }
}
