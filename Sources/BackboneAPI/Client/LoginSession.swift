public import MeshWire

/// What a login yields.
public struct LoginSession: Hashable, Sendable {
  /// For `Authorization: Bearer`.
  public let token: String
  /// When the token stops being accepted, by this node's clock, however wrong that is; at most seven days
  /// after the login.
  public let expires: WallTime
  /// The backbone's nodes, from a list that it has signed.
  public let nodes: [BackboneNode]
  /// How far the backbone's clock is ahead of this node's; at most two hours either way.
  public let clockOffset: Duration

  public init(token: String, expires: WallTime, nodes: [BackboneNode], clockOffset: Duration) {
    self.token = token
    self.expires = expires
    self.nodes = nodes
    self.clockOffset = clockOffset
  }
}
