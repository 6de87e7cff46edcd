/// The ways that packets can take to a peer, the better ones first.
public enum PathKind: Sendable, Hashable, Comparable {
  /// Within one network, to an address of the peer's own interfaces.
  case local
  /// Straight to the peer's outer address.
  case direct
  /// In a TLS stream to it, where UDP is blocked: relays only.
  case stream
  /// Through so many relays, 1 to 3.
  case relayed(hops: Int)

  /// Whether packets go by UDP, and straight to the peer.
  public var isDirect: Bool {
    switch self {
    case .local, .direct: true
    case .stream, .relayed: false
    }
  }
}
