public import MeshCrypto
public import MeshWire

/// What one peer may send to us, besides replies. Nothing, unless the owner says so.
public struct InboundPermission: Sendable, Hashable {
  /// Everything, of every protocol.
  public var allowsAll: Bool
  /// ICMPv6 echo requests.
  public var allowsPing: Bool
  public var tcpPorts: Set<UInt16>
  public var udpPorts: Set<UInt16>

  public init(
    allowsAll: Bool = false, allowsPing: Bool = false, tcpPorts: Set<UInt16> = [], udpPorts: Set<UInt16> = []
  ) {
    self.allowsAll = allowsAll
    self.allowsPing = allowsPing
    self.tcpPorts = tcpPorts
    self.udpPorts = udpPorts
  }

  /// Nothing may come in but replies.
  public static let repliesOnly = InboundPermission()
}

/// A peer as its owner added it.
public struct PeerEntry: Sendable, Hashable {
  public var peerID: PeerID
  /// The pinned full identity. `nil` until the first verified record when the peer was added by PeerID alone.
  public var keyHash: KeyHash?
  public var publicKey: IdentityPublicKey?
  public var inbound: InboundPermission
  /// Where it was last, or where the owner says it is.
  public var endpoints: [Endpoint]
  /// Relays on the way to it, 1 to 3, where it is reached through relays; `nil`: as for all.
  public var relayHops: Int?

  public init(
    peerID: PeerID, keyHash: KeyHash? = nil, publicKey: IdentityPublicKey? = nil,
    inbound: InboundPermission = .repliesOnly, endpoints: [Endpoint] = [], relayHops: Int? = nil
  ) {
    self.peerID = peerID
    self.keyHash = keyHash
    self.publicKey = publicKey
    self.inbound = inbound
    self.endpoints = endpoints
    self.relayHops = relayHops
  }
}

/// Why the owner's wish to add a peer is refused.
public enum PeerRefusal: Error, Sendable, Hashable {
  case ownKey
  /// Another KeyHash is pinned under this PeerID.
  case otherKeyPinned
  /// Another peer has the same overlay address.
  case addressCollision
  /// ``NodeLimits/peers`` are there already.
  case full
  case keyHashDoesNotMatchPeerID
}
