/// `shadowmesh status`: this node at a glance. Times are seconds since 1970-01-01T00:00:00Z, durations
/// seconds.
public struct StatusReport: Hashable, Sendable, Codable {
  public var version: String
  public var peerID: String
  public var keyHash: String
  /// The IPv6 address in the overlay.
  public var address: String
  public var region: String
  /// `private` or `public`.
  public var serviceType: String
  public var tunName: String
  public var mtu: Int
  public var listenPort: Int
  public var uptime: UInt64
  public var backbone: BackboneReport
  public var record: OwnRecordReport?
  public var portMapping: PortMappingReport
  public var peers: Int
  public var sessions: Int
  /// The ways to the first ``pathLimit`` peers with a session, by name.
  public var paths: [StatusPath]
  /// Nodes in the Kademlia table (at most 100).
  public var tableSize: Int
  public var cachedRecords: Int

  public init(
    version: String, peerID: String, keyHash: String, address: String, region: String,
    serviceType: String, tunName: String, mtu: Int, listenPort: Int, uptime: UInt64,
    backbone: BackboneReport, record: OwnRecordReport?, portMapping: PortMappingReport, peers: Int,
    sessions: Int, paths: [StatusPath], tableSize: Int, cachedRecords: Int
  ) {
    self.version = version
    self.peerID = peerID
    self.keyHash = keyHash
    self.address = address
    self.region = region
    self.serviceType = serviceType
    self.tunName = tunName
    self.mtu = mtu
    self.listenPort = listenPort
    self.uptime = uptime
    self.backbone = backbone
    self.record = record
    self.portMapping = portMapping
    self.peers = peers
    self.sessions = sessions
    self.paths = paths
    self.tableSize = tableSize
    self.cachedRecords = cachedRecords
  }
}

extension StatusReport {
  /// Most paths in a report; `peers` has all.
  public static let pathLimit = 16
}

/// The way to one peer, as `shadowmesh status` has it.
public struct StatusPath: Hashable, Sendable, Codable {
  public var name: PeerName
  public var path: PathReport

  public init(name: PeerName, path: PathReport) {
    self.name = name
    self.path = path
  }
}

/// Whether the router leads a port of its own to this node.
public struct PortMappingReport: Hashable, Sendable, Codable {
  /// One sentence: what stands, or why nothing does.
  public var summary: String
  /// The port on the router's outer address.
  public var endpoint: String?
  /// `PCP`, `NAT-PMP` or `UPnP`.
  public var by: String?
  /// The router that was asked.
  public var gateway: String?
  /// What the router said to each: `yes`, `no`, `no answer`, `not asked`, `asked`, or a refusal with its
  /// reason.
  public var pcp: String
  public var natPmp: String
  public var upnp: String

  public init(
    summary: String, endpoint: String? = nil, by: String? = nil, gateway: String? = nil, pcp: String,
    natPmp: String, upnp: String
  ) {
    self.summary = summary
    self.endpoint = endpoint
    self.by = by
    self.gateway = gateway
    self.pcp = pcp
    self.natPmp = natPmp
    self.upnp = upnp
  }
}

/// How this node stands with its backbone.
public struct BackboneReport: Hashable, Sendable, Codable {
  /// How far the login has come.
  public enum State: String, Sendable, Codable {
    /// None is configured.
    case none
    case connecting
    case loggedIn = "logged_in"
    /// Not reachable, or it refused the login; tried again with growing pauses.
    case away
  }

  public var url: String
  public var state: State
  /// The last error while away; empty otherwise.
  public var reason: String
  /// When the token ends, while logged in.
  public var tokenExpires: UInt64?
  /// How long the last login took, in milliseconds.
  public var loginMilliseconds: Double?

  public init(
    url: String, state: State, reason: String = "", tokenExpires: UInt64? = nil,
    loginMilliseconds: Double? = nil
  ) {
    self.url = url
    self.state = state
    self.reason = reason
    self.tokenExpires = tokenExpires
    self.loginMilliseconds = loginMilliseconds
  }
}

/// The signed record that this node announces.
public struct OwnRecordReport: Hashable, Sendable, Codable {
  public var sequence: UInt64
  public var expires: UInt64
  /// Whether the backbone has taken this very record.
  public var published: Bool
  public var endpoints: [String]

  public init(sequence: UInt64, expires: UInt64, published: Bool, endpoints: [String]) {
    self.sequence = sequence
    self.expires = expires
    self.published = published
    self.endpoints = endpoints
  }
}

/// The way packets go to a peer now, and why this way.
public struct PathReport: Hashable, Sendable, Codable {
  /// `local`, `direct`, `stream`, `relayed` or `none`.
  public var kind: String
  /// Relays on the way.
  public var hops: Int
  /// Empty for a path through relays, whose nodes know where the next one is.
  public var endpoint: String
  public var reason: String

  public init(kind: String, hops: Int = 0, endpoint: String, reason: String) {
    self.kind = kind
    self.hops = hops
    self.endpoint = endpoint
    self.reason = reason
  }

  /// Whether packets go to the peer without anybody in between.
  public var isDirect: Bool { kind == "direct" || kind == "local" }

  /// `direct 192.0.2.1:8443`, or `relayed, 2 hops`.
  public var summary: String {
    switch kind {
    case "none": "-"
    case "relayed": "relayed, \(hops) \(hops == 1 ? "hop" : "hops")"
    default: "\(kind) \(endpoint)"
    }
  }
}

/// One peer of the peer book.
public struct PeerReport: Hashable, Sendable, Codable {
  public var name: PeerName
  public var peerID: String
  /// Pinned by the first verified record or the invitation; absent before.
  public var keyHash: String?
  public var address: String
  public var allow: [PortRule]
  /// Relays on the way to it, where its owner chose them for this peer; absent: as for all.
  public var hops: HopCount?
  /// `idle`, `connecting`, `unconfirmed` or `connected`.
  public var session: String
  public var path: PathReport
  /// Since the session's handshake; rekeying and other paths leave it.
  public var sessionSeconds: UInt64?
  /// Seconds since the last authenticated packet.
  public var lastHeard: UInt64?
  public var sentBytes: UInt64
  public var receivedBytes: UInt64
  /// Of the last handshake that this node began.
  public var handshakeMilliseconds: Double?

  public init(
    name: PeerName, peerID: String, keyHash: String?, address: String, allow: [PortRule],
    hops: HopCount? = nil, session: String, path: PathReport, sessionSeconds: UInt64? = nil,
    lastHeard: UInt64? = nil, sentBytes: UInt64 = 0,
    receivedBytes: UInt64 = 0, handshakeMilliseconds: Double? = nil
  ) {
    self.name = name
    self.peerID = peerID
    self.keyHash = keyHash
    self.address = address
    self.allow = allow
    self.hops = hops
    self.session = session
    self.path = path
    self.sessionSeconds = sessionSeconds
    self.lastHeard = lastHeard
    self.sentBytes = sentBytes
    self.receivedBytes = receivedBytes
    self.handshakeMilliseconds = handshakeMilliseconds
  }
}

/// `shadowmesh invite`: the line to paste on the other node.
public struct InviteReport: Hashable, Sendable, Codable {
  public var line: String
  public var expires: UInt64
  public var name: PeerName?

  public init(line: String, expires: UInt64, name: PeerName?) {
    self.line = line
    self.expires = expires
    self.name = name
  }
}

/// `shadowmesh join`: the inviter is now a peer here, and this node a peer there.
public struct JoinReport: Hashable, Sendable, Codable {
  public var name: PeerName
  public var peerID: String
  public var keyHash: String
  public var address: String
  /// Whether the inviter is known to have added this node; `false`: it accepted the invitation, and has not
  /// said so in time.
  public var confirmed: Bool

  public init(name: PeerName, peerID: String, keyHash: String, address: String, confirmed: Bool) {
    self.confirmed = confirmed
    self.name = name
    self.peerID = peerID
    self.keyHash = keyHash
    self.address = address
  }
}

/// `shadowmesh lookup`: a verified record, and who had it.
public struct LookUpReport: Hashable, Sendable, Codable {
  public var peerID: String
  public var keyHash: String
  public var address: String
  public var region: String
  public var serviceType: String
  public var sequence: UInt64
  public var expires: UInt64
  /// Empty when the owner has not admitted this node (``endpointsWithheld``).
  public var endpoints: [String]
  public var endpointsWithheld: Bool
  /// `cache`, `backbone` or `peers`.
  public var source: String
  public var milliseconds: Double

  public init(
    peerID: String, keyHash: String, address: String, region: String, serviceType: String,
    sequence: UInt64, expires: UInt64, endpoints: [String], endpointsWithheld: Bool, source: String,
    milliseconds: Double
  ) {
    self.peerID = peerID
    self.keyHash = keyHash
    self.address = address
    self.region = region
    self.serviceType = serviceType
    self.sequence = sequence
    self.expires = expires
    self.endpoints = endpoints
    self.endpointsWithheld = endpointsWithheld
    self.source = source
    self.milliseconds = milliseconds
  }
}

/// One echo inside the session with a peer.
public struct PingReport: Hashable, Sendable, Codable {
  /// 1 for the first.
  public var index: Int
  public var peerID: String
  /// Absent when no echo came.
  public var milliseconds: Double?
  /// `echo`, `unconfirmed` or `no_answer`.
  public var outcome: String
  public var path: PathReport
  /// How long the handshake took, when this ping had to open the session.
  public var handshakeMilliseconds: Double?
  /// What happened, as a sentence.
  public var message: String

  public init(
    index: Int, peerID: String, milliseconds: Double?, outcome: String, path: PathReport,
    handshakeMilliseconds: Double?, message: String
  ) {
    self.index = index
    self.peerID = peerID
    self.milliseconds = milliseconds
    self.outcome = outcome
    self.path = path
    self.handshakeMilliseconds = handshakeMilliseconds
    self.message = message
  }
}
