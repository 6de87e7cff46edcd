/// What the command line asks of the daemon: one JSON line
/// `{"version":1,"request":{"ping":{"target":"bob","count":1,"until_direct":false}}}`.
public enum ControlRequest: Hashable, Sendable, Codable {
  case status
  case peers
  /// A line for another node to join with. `expires` is in seconds from now.
  case invite(name: PeerName?, expires: UInt64, allow: [PortRule])
  case join(line: String, name: PeerName?, allow: [PortRule])
  /// Without `hops` a peer that is there keeps its own.
  case addPeer(name: PeerName, peerID: String, allow: [PortRule], hops: HopCount?)
  /// Relays on the way to a peer; `nil`: as the configuration says for all.
  case setHops(name: PeerName, hops: HopCount?)
  case removePeer(name: PeerName)
  /// Forgets a peer's session and paths, and begins anew.
  case resetPeer(name: PeerName)
  /// `target` is a petname or a PeerID of 40 hexadecimal digits.
  case lookUp(target: String)
  /// Answers `count` times with a ``PingReport``; with `untilDirect`, fewer when a path without relays is in
  /// use before.
  case ping(target: String, count: Int, untilDirect: Bool)
  /// Answers several times with a ``NetcheckReport``, the last one `finished`. `servers` are endpoints of
  /// STUN servers to ask instead of the backbones'.
  case netcheck(servers: [String])

  /// Most pings that one request may ask for.
  public static let maximumPings = 1_000
  /// The longest life of an invitation: 30 days, in seconds.
  public static let maximumInviteLife: UInt64 = 30 * 86_400
  /// Most port rules of one peer.
  public static let maximumPortRules = 64
}

/// What the daemon says: one JSON line, or for ``ControlRequest/ping(target:count:untilDirect:)`` several,
/// the last without `more`.
public enum ControlAnswer: Hashable, Sendable, Codable {
  case status(StatusReport)
  case peers([PeerReport])
  case invite(InviteReport)
  case join(JoinReport)
  case peer(PeerReport)
  case lookUp(LookUpReport)
  case ping(PingReport)
  case netcheck(NetcheckReport)
  case failure(ControlFailure)
}

/// A request or answer with the version of this protocol in front.
public struct ControlEnvelope<Body: Codable & Sendable>: Sendable, Codable {
  /// Read first, so that a program of another version is refused by name rather than by a parse error.
  public let version: Int
  public let body: Body
  /// Another line follows for the same request.
  public let more: Bool

  public init(_ body: Body, more: Bool = false) {
    version = ControlLine.version
    self.body = body
    self.more = more
  }
}

/// Why the daemon did not do what it was asked, and what to do next.
public struct ControlFailure: Error, Hashable, Sendable, Codable {
  /// The kinds decide the exit code of the command line (`docs/cli.md`).
  public enum Kind: String, Sendable, Codable {
    case badRequest = "bad_request"
    case otherVersion = "other_version"
    case notFound = "not_found"
    case conflict
    case refused
    case expired
    case timedOut = "timed_out"
    case busy
    case storage
    case unavailable
  }

  public let kind: Kind
  public let message: String
  /// One thing to try, as a sentence or a command; empty when there is none.
  public let next: String

  public init(_ kind: Kind, _ message: String, next: String = "") {
    self.kind = kind
    self.message = message
    self.next = next
  }
}
