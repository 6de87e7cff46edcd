public import MeshPaths
public import MeshWire

/// Which path a session uses, and why.
public struct PathStatus: Sendable, Hashable {
  /// The ways packets can go.
  public enum Kind: String, Sendable, Hashable, CaseIterable {
    /// Within one network.
    case local
    case direct
    /// In a TLS stream, because UDP is blocked.
    case stream
    /// Through ``PathStatus/hops`` relays.
    case relayed
  }
  /// Why a path through relays isn't a direct one, as far as it is known; the raw value is for a person.
  public enum Obstacle: String, Sendable, Hashable, CaseIterable {
    case udpBlockedHere = "UDP is blocked here"
    case noCommonFamily = "no address family in common"
    case symmetricBoth = "symmetric NAT on both sides"
    case symmetricHere = "symmetric NAT here"
    case symmetricHereStrictThere = "symmetric NAT here, a port-restricted one there"
    case symmetricThere = "symmetric NAT there"
    case symmetricThereStrictHere = "symmetric NAT there, a port-restricted one here"
    case unknown = "no direct path has answered yet"
  }
  public var kind: Kind
  /// Relays on the way.
  public var hops: Int
  /// The other end of it, or of a relayed path an endpoint that means something inside this process alone.
  public var endpoint: Endpoint
  /// For a person: "direct: the record's endpoint answered".
  public var reason: String
  /// Largest UDP payload that is known to pass, in bytes.
  public var payload: Int
  /// Of a path through relays.
  public var obstacle: Obstacle?
}

/// One peer, as `status` and `peers` show it.
public struct PeerStatus: Sendable, Hashable {
  /// How far the session with a peer has come.
  public enum State: String, Sendable, Hashable {
    /// No session, and none wanted now.
    case idle
    case lookingUp = "looking-up"
    case connecting
    /// Both ends are authenticated, and the other end has us as a peer or hasn't said.
    case connected
    /// Authenticated, but the other end has not added us.
    case unconfirmed
  }
  public var peerID: PeerID
  public var keyHash: KeyHash?
  public var overlayAddress: OverlayAddress
  public var state: State
  public var path: PathStatus?
  /// Why there is no session, as far as it is known; `nil` with one. For a person.
  public var trouble: String?
  /// Since the session's handshake ended; rekeying and other paths leave it.
  public var sessionAge: Duration?
  public var lastHeard: Duration?
  /// IP packets.
  public var packetsIn: UInt64
  public var packetsOut: UInt64
  /// UDP payload of its sessions: packets, control messages, probes and keepalives, with their overhead.
  public var bytesIn: UInt64
  public var bytesOut: UInt64
}

/// A node at a glance, and its counters.
public struct NodeStatus: Sendable {
  public var keyHash: KeyHash
  public var peerID: PeerID
  public var overlayAddress: OverlayAddress
  /// ``MeshNode/overlayMTU``.
  public var overlayMTU: Int
  public var peers: [PeerStatus]
  public var controlSessions: Int
  public var tableContacts: Int
  public var cachedRecords: Int
  /// What the last detection found; `nil` before the first has ended.
  public var nat: NATFindings?
  public var counters: NodeCounters
}

/// Monotonic counts since the node began.
public struct NodeCounters: Sendable, Hashable {
  public var drops: [DropReason: UInt64] = [:]
  public var handshakesStarted: UInt64 = 0
  public var handshakesCompleted: UInt64 = 0
  public var handshakesFailed: UInt64 = 0
  public var lookupsFromCache: UInt64 = 0
  public var lookupsFromBackbone: UInt64 = 0
  public var lookupsFromPeers: UInt64 = 0
  /// Nodes on the way to those that knew, themselves included, over all of ``lookupsFromPeers``.
  public var lookupHops: UInt64 = 0
  public var lookupsFailed: UInt64 = 0
  public var rekeys: UInt64 = 0
  /// Times that our record went to a node near our PeerID.
  public var recordsPushed: UInt64 = 0
  /// Private parts that came from no peer, don't admit us, and were not kept.
  public var privatePartsDropped: UInt64 = 0
  /// Times that a session's packets began to go another way.
  public var pathChanges: UInt64 = 0
  /// Datagrams that were sent into a silence, and again by the path that took the silent one's place.
  public var datagramsRepeated: UInt64 = 0
  /// Those that weren't: more came than are kept, or the other path carries none as large.
  public var repeatsForgone: UInt64 = 0
  /// Path checks that weren't sent: too many had gone to addresses that others named and that never answered.
  public var checksWithheld: UInt64 = 0
  /// Introductions that this node asked its backbones for, took from them, and passed on as one.
  public var introductionsAsked: UInt64 = 0
  public var introductionsTaken: UInt64 = 0
  public var introductionsPassed: UInt64 = 0
  /// A backbone had no session with whom we asked for.
  public var introductionsFailed: UInt64 = 0
  /// TLS streams to relays that came about.
  public var streamsOpened: UInt64 = 0
  /// Sessions whose peer answered a path challenge somewhere else.
  public var peersMoved: UInt64 = 0
  /// Cells that went through here for others, and their bytes; circuits that were opened for them.
  public var cellsRelayed: UInt64 = 0
  public var bytesRelayed: UInt64 = 0
  public var circuitsRelayed: UInt64 = 0
  /// Circuits to peers that stood, and that ended or never stood.
  public var circuitsBuilt: UInt64 = 0
  public var circuitsLost: UInt64 = 0
  /// Circuits that stood and carried nothing while one was needed: others were tried in their place.
  public var circuitsUnproven: UInt64 = 0
  /// Times that there were too few relays to choose from, and the shell was told.
  public var relaysWanted: UInt64 = 0
  /// Questions to relays how far they are, answers to them, and relays that were not asked because too many
  /// were within a minute, or a chain of several was being built.
  public var relayProbesSent: UInt64 = 0
  public var relayProbesAnswered: UInt64 = 0
  public var relayProbesHeld: UInt64 = 0
  /// Times that chains failed in a row, and begin elsewhere because nothing but their first relay was common
  /// to them.
  public var entriesSuspected: UInt64 = 0
  /// Relays whose broken promises were forgotten, because there were too many of them.
  public var relayScoresForgotten: UInt64 = 0
  /// Records from outside that were refused.
  public var recordsRefused: UInt64 = 0
  /// IP packets of peers, and their bytes without any overhead.
  public var packetsIn: UInt64 = 0
  public var packetsOut: UInt64 = 0
  public var bytesIn: UInt64 = 0
  public var bytesOut: UInt64 = 0

  public init() {}

  mutating func count(_ reason: DropReason) { drops[reason, default: 0] += 1 }
}
