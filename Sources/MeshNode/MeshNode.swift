internal import Kademlia
public import MeshCrypto
internal import MeshSession
public import MeshWire

/// A node without its sockets: identity, sessions, peers, look-ups and the packet filter, as one value.
///
/// One thread owns it. Inputs are the methods below; what it wants done comes out of ``nextAction()``, which the
/// shell drains after every input. It reads no clock, draws no randomness, and never runs an asymmetric operation.
public struct MeshNode {
  /// - Parameters:
  ///   - randomSeed: 32 bytes of the system's randomness; ids, cookies' secrets and jitter are drawn from it.
  public init(
    configuration: NodeConfiguration, publicKey: IdentityPublicKey, randomSeed: [UInt8], now: Instant,
    wall: WallTime
  ) {}

  // MARK: The packet path

  /// Takes one UDP datagram and opens it in place.
  public mutating func receive(
    _ datagram: inout MutableSpan<UInt8>, from source: Endpoint, now: Instant
  ) -> Received { .dropped(.unknownType) }

  /// Takes one IP packet from the TUN device and seals it into `output`, which holds at least the packet and 128 bytes.
  public mutating func send(
    _ packet: Span<UInt8>, into output: inout MutableSpan<UInt8>, now: Instant
  ) -> Sent { .dropped(.noRoute) }

  // MARK: Time, results, actions

  /// Fires what is due.
  public mutating func advance(to now: Instant, wall: WallTime) {}

  /// When ``advance(to:wall:)`` is wanted next.
  public var nextDeadline: Instant? { nil }

  /// Takes the result of a `.compute` action.
  public mutating func completed(_ ticket: CryptoTicket, _ result: CryptoResult, now: Instant) {}

  /// The next thing to do; `nil` when there is none.
  public mutating func nextAction() -> NodeAction? { nil }

  // MARK: Control

  /// Adds a peer, or changes what is known of one that was added before.
  public mutating func addPeer(_ entry: PeerEntry, now: Instant) throws(PeerRefusal) {}

  /// Forgets a peer and ends its session. Returns whether it was one.
  public mutating func removePeer(_ peerID: PeerID, now: Instant) -> Bool { false }

  /// Takes our own freshly signed record, to hand on and to announce to session peers.
  public mutating func setOwnRecord(_ record: PeerRecord, now: Instant) {}

  /// Asks the cache, then the backbone, then the peers. Ends in `.lookupFinished`.
  public mutating func lookUp(_ target: PeerID, now: Instant) -> LookupID { LookupID(number: 0) }

  /// The answer to `.askBackbone`.
  public mutating func backboneAnswered(_ id: LookupID, _ answer: BackboneAnswer, now: Instant) {}

  /// Opens a session if need be and measures the round trip inside it. Ends in `.pingFinished`.
  public mutating func ping(_ peer: PeerID, now: Instant) -> PingID { PingID(number: 0) }

  /// Waits for someone to prove knowledge of a secret of which only the SHA-256 is kept. Returns its index, which
  /// `.inviteRedeemed` repeats, or `nil` when ``NodeLimits/invitations`` wait already.
  public mutating func addInvitation(secretHash: [UInt8], expires: WallTime) -> Int? { nil }

  /// Proves knowledge of an invitation's secret (32 bytes) to a peer that was added. Ends in `.inviteAnswered`.
  public mutating func redeemInvitation(at peer: PeerID, secret: [UInt8], now: Instant) {}

  /// What is worth saving: verified records and the routing table.
  public func snapshot() -> NodeSnapshot { NodeSnapshot(records: [], table: []) }

  /// Takes a snapshot back. Records are verified again, off this thread; bad ones are dropped and counted.
  public mutating func restore(_ snapshot: NodeSnapshot, now: Instant) {}

  public func status(now: Instant) -> NodeStatus {
    preconditionFailure("the core is on its way")
  }
}

/// What outlives a restart. Traffic keys never do.
public struct NodeSnapshot: Sendable, Hashable {
  /// Bundles as ``UnverifiedPeerRecord/init(bundle:)`` reads them.
  public var records: [[UInt8]]
  /// The routing table's own encoding.
  public var table: [UInt8]

  public init(records: [[UInt8]], table: [UInt8]) {
    self.records = records
    self.table = table
  }
}
