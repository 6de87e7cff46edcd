public import MeshCrypto
public import MeshWire

/// What a node's owner decides, as far as the core needs it.
public struct NodeConfiguration: Sendable, Hashable {
  public var region: Region
  public var serviceType: ServiceType
  /// AEAD suites, the preferred first.
  public var suites: [AEADSuite]
  /// Lets loopback endpoints be dialled and counted without prefix limits: for tests and two nodes on one
  /// machine.
  public var permitsLoopback: Bool
  /// Sessions to peers are kept open by keepalives, so that either side is reached at once.
  public var keepsPeersConnected: Bool
  /// Disjoint paths of a look-up (S/Kademlia's d): 4, or 8 where many nodes may collude.
  public var lookupPaths: Int
  /// Servers that tell where this node's packets come from (RFC 5780); ``MeshNode/setSTUNServers(_:now:)``.
  public var stunServers: [Endpoint]
  /// Of the node's one UDP socket; 0: not known.
  public var localPort: UInt16
  /// What this node relays for others, in Mbit/s, both ways together; 0: nothing. Public nodes only.
  public var relayOffer: UInt32 = 0
  /// Whom it relays for.
  public var relayAdmission = RelayAdmission.all
  /// Relays on the way to a peer that is reached through relays, 1 to 3, unless the peer's entry says
  /// otherwise.
  public var relayHops = 1
  /// Relays at which this node keeps a place where its peers can reach it: 2 for private nodes.
  public var reservations: Int

  /// Whom a relay serves.
  public enum RelayAdmission: String, Sendable, Hashable, CaseIterable {
    /// Any authenticated node, within its limits.
    case all
    /// The owner's peers.
    case peers
  }

  public init(
    region: Region, serviceType: ServiceType,
    suites: [AEADSuite] = [.aes256GCM, .chaCha20Poly1305], permitsLoopback: Bool = false,
    keepsPeersConnected: Bool = true, lookupPaths: Int = 4,
    stunServers: [Endpoint] = [], localPort: UInt16 = 0
  ) {
    self.region = region
    self.serviceType = serviceType
    self.suites = suites
    self.permitsLoopback = permitsLoopback
    self.keepsPeersConnected = keepsPeersConnected
    self.lookupPaths = lookupPaths
    self.stunServers = stunServers
    self.localPort = localPort
    reservations = serviceType == .lightPrivate ? 2 : 0
  }
}

/// Bounds of every table and queue in ``MeshNode``. Each one that is hit has a ``DropReason``.
public enum NodeLimits {
  /// Peers that the owner added.
  public static let peers = 256
  /// Sessions with nodes that are not peers.
  public static let controlSessions = 256
  /// IP packets that wait for one peer's session.
  public static let queuedPacketsPerPeer = 64
  /// Outgoing flows whose replies are let in.
  public static let flows = 8_192
  /// Records of others, kept for those who ask.
  public static let records = 512
  /// Those among them that nodes that are no peers want held for others.
  public static let guestRecords = 256
  /// And of those, the records of nodes of one /24 or /56.
  public static let guestsPerPrefix = 16
  /// Look-ups under way at once.
  public static let lookups = 64
  /// Invitations that wait to be redeemed.
  public static let invitations = 64
  /// Endpoints tried for one peer.
  public static let candidates = 16
  /// Those among them that only another node named.
  public static let hintedCandidates = 4
  /// Those that have worked before.
  public static let usedCandidates = 3
  /// And those that the peer itself named, through a backbone or in a session.
  public static let namedCandidates = 8
  /// Backbones that a node keeps sessions with.
  public static let backbones = 8
  /// Sessions that strangers began with us; the rest of ``controlSessions`` is for those that we begin.
  public static let inboundControlSessions = 192
  /// And of those, the sessions of one /24 or /56.
  public static let controlSessionsPerPrefix = 16
  /// The same two on a backbone, which keeps a session with every node that is logged in: behind one prefix a
  /// CGNAT may have hundreds.
  public static let backboneSessions = 4_096
  public static let backboneSessionsPerPrefix = 512
  /// Signature checks of records under way at once.
  public static let recordChecks = 128
  /// Actions that wait for the shell; past it, events are dropped, and then datagrams.
  public static let actions = 4_096
  /// Pings under way at once.
  public static let pings = 64
}
