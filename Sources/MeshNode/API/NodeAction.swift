public import MeshCrypto
public import MeshPaths
public import MeshWire

/// What the core wants done. The shell drains these after every input.
public enum NodeAction: Sendable {
  /// One datagram of the control path.
  case send([UInt8], to: Endpoint)
  /// An IP packet for the TUN device: one that was put together from pieces, or an ICMPv6 answer of our own.
  case deliver([UInt8])
  case compute(CryptoTicket, CryptoJob)
  /// Answer with ``MeshNode/backboneAnswered(_:_:now:)``.
  case askBackbone(LookupID, PeerID)
  /// Open a TLS stream to whoever shows a certificate with this SHA-256 (32 bytes) at that TCP endpoint;
  /// answer with ``MeshNode/streamOpened(_:now:)`` or ``MeshNode/streamClosed(_:now:)``.
  case openStream(StreamNumber, to: Endpoint, certificate: [UInt8])
  case closeStream(StreamNumber)
  case event(NodeEvent)
}

/// What came of a datagram from the network.
public enum Received: Sendable, Hashable {
  /// A plaintext IPv6 packet in place, to write to the TUN device.
  case packet(Range<Int>)
  /// Taken; actions may wait.
  case consumed
  case dropped(DropReason)
}

/// What came of an IP packet from the TUN device.
public enum Sent: Sendable, Hashable {
  /// The first `count` bytes of the output are one datagram.
  case datagram(count: Int, to: Endpoint)
  /// The output holds two datagrams, one behind the other.
  case pair(first: Int, second: Int, to: Endpoint)
  /// It waits for a session.
  case queued
  /// It goes through relays: its datagrams are among the actions.
  case relayed
  case dropped(DropReason)
}

/// Why a packet or datagram went no further. Each is a label of the metric `shadowmesh_drops_total`.
public enum DropReason: String, Sendable, Hashable, CaseIterable {
  case empty
  case tooLarge = "too_large"
  case unknownType = "unknown_type"
  case malformed
  case unknownIndex = "unknown_index"
  case replayed
  case badTag = "bad_tag"
  case tooOld = "too_old"
  case handshakeMalformed = "handshake_malformed"
  case handshakeBadMac = "handshake_bad_mac"
  case handshakeRefused = "handshake_refused"
  case handshakeOverload = "handshake_overload"
  case piecesDropped = "pieces_dropped"
  case notIPv6 = "not_ipv6"
  case sourceNotPeers = "source_not_peers"
  case destinationNotOurs = "destination_not_ours"
  case notAllowed = "not_allowed"
  case notAPeer = "not_a_peer"
  case noRoute = "no_route"
  case sourceNotOurs = "source_not_ours"
  case queueFull = "queue_full"
  case noSession = "no_session"
  /// A STUN request that is not served here, or over its network's share, or none that RFC 8489 allows.
  case stunRefused = "stun_refused"
  /// A STUN answer that nobody waits for.
  case stunUnexpected = "stun_unexpected"
  case controlMalformed = "control_malformed"
  case controlOverBudget = "control_over_budget"
  case introductionNotFromPeer = "introduction_not_from_peer"
  /// A path challenge that was due, but too soon after another or not paid for by what came.
  case challengeHeld = "challenge_held"
  /// Something that would be answered, from an address to which nothing is ever sent.
  case sourceRefused = "source_refused"
  case actionsFull = "actions_full"
  case tableFull = "table_full"
  /// A cell of a circuit that is malformed, of no circuit of ours, or whose circuit doesn't stand.
  case cellRefused = "cell_refused"
  /// A cell that came before, or whose layer doesn't open.
  case cellForged = "cell_forged"
  /// A cell over the offered rate, a neighbour's share of it, or what was granted.
  case relayLimit = "relay_limit"
  /// A reservation or a circuit that this relay refused.
  case relayRefused = "relay_refused"
}

/// Names a look-up that ``MeshNode/lookUp(_:now:)`` started.
public struct LookupID: Sendable, Hashable, Comparable {
  public let number: UInt64
  public static func < (a: LookupID, b: LookupID) -> Bool { a.number < b.number }
}

/// Names a ping that ``MeshNode/ping(_:now:)`` started.
public struct PingID: Sendable, Hashable, Comparable {
  public let number: UInt64
  public static func < (a: PingID, b: PingID) -> Bool { a.number < b.number }
}

/// Names what ``MeshNode/redeemInvitation(at:secret:now:)`` started.
public struct RedemptionID: Sendable, Hashable {
  public let number: UInt64
}

/// Who knew the answer of a look-up.
public enum LookupSource: String, Sendable, Hashable, CaseIterable { case cache, backbone, peers }

/// What a backbone said, or that none could be asked.
public enum BackboneAnswer: Sendable {
  case found(UnverifiedPeerRecord)
  case notFound
  /// No backbone is configured or none answers; the text says why, for the person who asked.
  case unavailable(String)
}

/// How a look-up ended.
public enum LookupOutcome: Sendable {
  case found(PeerRecord, from: LookupSource, took: Duration)
  /// Nobody asked knew it. The backbone's part of the story, if it couldn't be asked.
  case notFound(backbone: String?, peersAsked: Int)
  /// What came was refused.
  case refused(RecordRefusal)
  /// ``NodeLimits/lookups`` are under way.
  case tooMany
}

/// How a ping ended.
public enum PingOutcome: Sendable {
  case answered(roundTrip: Duration, handshake: Duration?, path: PathStatus, peerAddedUs: Bool)
  /// No such peer was added.
  case unknownPeer
  /// No endpoint is known: the look-up ended like this.
  case notFound(String)
  /// Endpoints are known, and none answered.
  case noAnswer(tried: [Endpoint])
}

/// What the shell may want to log, count or show.
public enum NodeEvent: Sendable {
  case peerConnected(PeerID, KeyHash, Endpoint, handshake: Duration)
  case peerLost(PeerID, reason: String)
  case handshakeFailed(PeerID, reason: String)
  /// What came as a node's record is not to be used; the reason is for a person.
  case recordRefused(PeerID, from: LookupSource, reason: String)
  /// A PeerID was seen with another key than the pinned one: refused.
  case identityConflict(PeerID, pinned: KeyHash, seen: KeyHash)
  /// The full identity behind a peer that was added by PeerID is known now; the shell saves it.
  case peerPinned(PeerID, IdentityPublicKey)
  case peerMoved(PeerID, Endpoint)
  /// A peer's packets go another way from here on, and why.
  case pathChanged(PeerID, PathStatus, String)
  /// A backbone sees this node's packets come from there: the shell puts it into the record.
  case addressObserved(Endpoint)
  /// A run of the NAT detection has ended; ``MeshNode/detectNAT(asking:now:)``.
  case natDetected(NATFindings)
  case recordLearned(PeerRecord)
  /// ``MeshNode/overlayMTU`` is this now, in bytes.
  case overlayMTUChanged(Int)
  case lookupFinished(LookupID, LookupOutcome)
  case pingFinished(PingID, PingOutcome)
  /// Someone proved knowledge of invitation `index`; the shell adds them as a peer.
  case inviteRedeemed(index: Int, by: IdentityPublicKey, at: Endpoint)
  /// The places at relays where peers can reach this node: the shell puts them into its next record.
  case reservationsChanged([RelayReservation])
  /// This relay's onion key, and the week that it was made in: for the next record.
  case onionKeyMade(KeyExchangeOffer, week: UInt32)
  /// The relay that longer chains begin at, to be given back after a restart.
  case entryRelayChanged(KeyHash?)
  /// There are too few relays to choose from: the shell asks for more. At most once a minute.
  case relaysWanted
  /// A circuit to a peer stands.
  case circuitOpened(PeerID, hops: Int, took: Duration)
  /// A circuit to a peer ended, or never stood, for this reason.
  case circuitEnded(PeerID, reason: String)
  /// The inviter took our secret, or refused it.
  case inviteAnswered(RedemptionID, InviteAnswer)
}

/// What came of an invitation that this node redeems.
public enum InviteAnswer: Hashable, Sendable {
  case accepted
  /// Used, expired, or never made there.
  case refused
  /// The inviter did not answer in time.
  case unanswered
}
