public import MeshCrypto
public import MeshNode
public import MeshWire

/// What a host is made with.
public struct HostPlan: Sendable {
  public var identity: SimulatedIdentity
  /// Where its socket is bound: an address of its own, or one behind ``nats``.
  public var endpoint: Endpoint
  /// The translators before it, the innermost first.
  public var nats: [NATID] = []
  public var serviceType = ServiceType.lightPrivate
  /// What its record announces; its own endpoint unless something else is said.
  public var announced: Endpoint?
  public var clock = HostClock()
  /// Threads for asymmetric operations.
  public var threads = 2
  public var keepsPeersConnected = true
  /// Disjoint paths of its look-ups.
  public var lookupPaths = 4
  /// Mbit/s that a public one relays.
  public var relayOffer: UInt32 = 0
  /// On the way to peers that are reached through relays, 1 to 3.
  public var relayHops = 1

  public init(identity: SimulatedIdentity, endpoint: Endpoint) {
    self.identity = identity
    self.endpoint = endpoint
  }
}

/// A machine with one node: the core that the daemons run, and around it what their shells do.
public struct Host {
  public let id: HostID
  public let plan: HostPlan
  /// Ends with a crash and begins anew with a restart.
  public internal(set) var node: MeshNode
  /// `false` between a crash and the restart.
  public internal(set) var isUp = true
  /// Which node of this host: results for an earlier one come too late.
  var life = 0
  var endpoint: Endpoint
  var processor: Processor
  var disk = Disk()
  /// When the world will next call on it; an older wish is ignored.
  var wakesAt: Instant?
  var chance: Chance
  /// Peers that its owner added, to be added again after a restart.
  var peers: [PeerEntry] = []
  var recordSequence: UInt64 = 0
  /// Whom its last record admitted.
  var admitted: [HostID] = []
  /// What its node told for the next record.
  var onionKey: (key: KeyExchangeOffer, week: UInt32)?
  var reservations: [RelayReservation] = []

  public var keyHash: KeyHash { plan.identity.publicKey.keyHash }
  public var peerID: PeerID { keyHash.peerID }
}
