internal import Kademlia
public import MeshCrypto
internal import MeshRelay
internal import MeshSession
public import MeshWire

/// A node without its sockets: identity, sessions, peers, look-ups and the packet filter, as one value.
///
/// One thread owns it. Inputs are its public methods; what it wants done comes out of ``nextAction()``, which
/// the shell drains after every input. It reads no clock, draws no randomness, and never runs an asymmetric
/// operation.
public struct MeshNode {
  let configuration: NodeConfiguration
  let own: IdentityPublicKey
  let ownPeerID: PeerID
  var random: SeededRandom
  /// Wall time as of the latest input, carried on from the last ``advance(to:wall:)`` by the monotonic clock.
  private(set) var wall: WallTime
  private var wallReading: (wall: WallTime, at: Instant)
  private var clockOffset: Duration = .zero

  var neighbours = NeighbourTable()
  var responders: ResponderTable
  var filter: PacketFilter
  var table: RoutingTable
  var lookups = LookupTable()
  var records = RecordCache()
  var requests = RequestTable()
  var invitations = InvitationTable()
  var pings = PingTable()
  var jobs = JobTable()
  var streams = StreamTable()
  /// Bundles of a snapshot that wait to be verified, the last one first.
  var restoring: [[UInt8]] = []

  /// What this node relays for others; `nil` when it offers nothing.
  var relay: RelayServer?
  /// Circuits that end here.
  var circuits: CircuitClient
  var relays = RelayBook()
  var isMakingOnionKey = false
  /// Reused between calls, so that a cell on its way appends without allocating.
  var circuitActions: [CircuitAction] = []
  /// Monotonic time as of the latest input: what is sent through a circuit is sealed wherever it is sent.
  var latest: Instant

  /// Monotonic counts since the node began.
  public internal(set) var counters = NodeCounters()
  private var actions = ActionQueue()
  /// The largest IP packet that the proven paths of all connected peers carry in one datagram, and at least
  /// 1,280: what the TUN device's MTU may be. A larger packet goes in two, or is answered with an ICMPv6
  /// Packet Too Big.
  public internal(set) var overlayMTU = MeshNode.minimumMTU
  var addresses = OwnAddresses()
  var lastObserved: Instant?
  /// Backbones that this node is pinned to.
  var backboneCount = 0
  /// Of every session, as the NAT before this node allows.
  var keepalive = Session.usualKeepalive
  var stun: NodeSTUN
  var tooBigBudget = RequestBudget(perSecond: 100)
  var ownRecord: PeerRecord?
  var publication = Publication()
  var nextSerial: UInt64 = 1
  var nextNumber: UInt64 = 1
  /// Our own handshakes under way, by initiator id.
  var attempts: [UInt64: PeerID] = [:]
  /// Reused between calls, so that the packet path appends without allocating.
  var sessionActions: [SessionAction] = []

  /// - Parameters:
  ///   - randomSeed: 32 bytes of the system's randomness; ids, cookies' secrets and jitter are drawn from it.
  public init(
    configuration: NodeConfiguration, publicKey: IdentityPublicKey, randomSeed: [UInt8], now: Instant,
    wall: WallTime
  ) {
    self.configuration = configuration
    self.wall = wall
    wallReading = (wall, now)
    latest = now
    own = publicKey
    stun = NodeSTUN(servers: configuration.stunServers, now: now)
    circuits = CircuitClient(own: publicKey.keyHash)
    ownPeerID = publicKey.keyHash.peerID
    random = SeededRandom(seed: randomSeed)
    responders = ResponderTable(
      own: publicKey, alwaysDemandsCookie: configuration.serviceType != .lightPrivate,
      suites: configuration.suites, secretSeed: random.bytes(32), now: now)
    filter = PacketFilter(own: OverlayAddress(of: publicKey.keyHash.peerID), flowCapacity: NodeLimits.flows)
    var limits = RoutingTable.Limits()
    limits.allowsLoopback = configuration.permitsLoopback
    table = RoutingTable(own: ownPeerID, limits: limits, now: now)
    beginRelaying(offer: configuration.relayOffer, now: now)
  }

  /// The next thing to do; `nil` when there is none.
  public mutating func nextAction() -> NodeAction? {
    if let action = actions.next() { return action }
    settleDeadlines()
    return nil
  }

  mutating func emit(_ action: NodeAction) {
    if case .send(let datagram, let endpoint) = action, case .circuit(let circuit) = endpoint.carrier {
      return sendThrough(circuit, datagram.span)
    }
    if !actions.append(action) { counters.count(.actionsFull) }
  }

  mutating func emit(_ event: NodeEvent) { emit(.event(event)) }

  mutating func readWall(_ wall: WallTime, at now: Instant) {
    latest = max(latest, now)
    wallReading = (wall + clockOffset, now)
    self.wall = wallReading.wall
  }

  /// An authenticated backbone's clock is ahead of this machine's by `offset` (behind it when negative).
  /// Records and invitations are judged by that time from here on; sessions and timers know no wall time.
  public mutating func setClockOffset(_ offset: Duration, now: Instant) {
    wallReading.wall = wallReading.wall + (offset - clockOffset)
    clockOffset = offset
    carryWall(to: now)
  }

  /// Called by every input that may look at an expiry: the last reading may be an hour old.
  mutating func carryWall(to now: Instant) {
    latest = max(latest, now)
    wall = wallReading.wall + (now - wallReading.at)
  }

  mutating func takeNumber() -> UInt64 {
    defer { nextNumber += 1 }
    return nextNumber
  }

  /// A receiver index that no session uses.
  mutating func freshIndex() -> UInt32 {
    while true {
      let index = random.receiverIndex()
      if !neighbours.isTaken(index), !responders.holdsIndex(index) { return index }
    }
  }

  /// Takes the result of a `.compute` action.
  public mutating func completed(_ ticket: CryptoTicket, _ result: CryptoResult, now: Instant) {
    guard let owner = jobs.take(ticket) else { return }
    carryWall(to: now)
    switch owner {
    case .initiator(let peerID, let id): initiatorComputed(peerID, id, result, now)
    case .responder(let id): responderComputed(id, result, now)
    case .session(let peerID, let serial): sessionComputed(peerID, serial, result, now)
    case .record(let purpose): recordChecked(purpose, result, now)
    case .onionKey: onionKeyMade(result, now)
    case .create(let ticket): createComputed(ticket, result, now)
    case .circuit(let circuit, let hop): circuitComputed(circuit, hop, result, now)
    }
  }

  mutating func compute(_ job: CryptoJob, for owner: JobOwner) {
    let ticket = jobs.add(owner)
    emit(.compute(ticket, job))
  }
}

/// What the shell has still to do, first in, first out, bounded.
struct ActionQueue {
  private var queue: [NodeAction] = []
  private var head = 0

  /// Refuses past the bound; jobs are bounded by their own table and always fit, because whoever asked waits
  /// for them.
  mutating func append(_ action: NodeAction) -> Bool {
    if queue.count - head >= NodeLimits.actions {
      guard case .compute = action else { return false }
    }
    queue.append(action)
    return true
  }

  mutating func next() -> NodeAction? {
    guard head < queue.count else {
      if head > 0 {
        queue.removeAll(keepingCapacity: true)
        head = 0
      }
      return nil
    }
    defer { head += 1 }
    return queue[head]
  }
}

/// Who waits for an asymmetric operation.
enum JobOwner {
  case initiator(PeerID, id: UInt64)
  case responder(HalfOpenID)
  case session(PeerID, serial: UInt64)
  case record(RecordPurpose)
  case onionKey
  case create(CreateTicket)
  case circuit(CircuitNumber, hop: Int)
}

/// Operations that the shell was asked for and hasn't answered.
struct JobTable {
  private var owners: [CryptoTicket: JobOwner] = [:]
  private var next: UInt64 = 1

  var count: Int { owners.count }

  mutating func add(_ owner: JobOwner) -> CryptoTicket {
    defer { next += 1 }
    let ticket = CryptoTicket(number: next)
    owners[ticket] = owner
    return ticket
  }

  mutating func take(_ ticket: CryptoTicket) -> JobOwner? { owners.removeValue(forKey: ticket) }
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
