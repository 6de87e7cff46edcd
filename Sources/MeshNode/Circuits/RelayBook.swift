import MeshCrypto
import MeshRelay
import MeshWire

/// Relays that this node knows, the places that it keeps at some, and the circuits that it wants.
struct RelayBook {
  /// A place at a relay.
  struct Held {
    var reservation: RelayReservation
    var expires: Instant
    var renewAt: Instant
  }

  /// A peer that a way through relays is wanted to.
  struct Wanted {
    var hops: Int
    /// Since when nobody has asked for it any more.
    var until: Instant
    /// When another circuit may be begun.
    var next: Instant
    var failures = 0
    /// The one that stands.
    var circuit: CircuitNumber?
    /// One that stood when the path in use, this or another, fell silent: what leads through relays that
    /// answer takes its place, unless it carries the session again by then.
    var doubted: CircuitNumber?
    /// Those that are being built, through different relays: the first that stands is kept.
    var attempts: [CircuitNumber] = []
    /// All of its circuits.
    var circuits: [CircuitNumber] { attempts + [circuit, doubted].compactMap(\.self) }

    /// The path in use is silent: ``circuit`` has to carry a check by then, or others are tried.
    var proveBy: Instant?
    /// It was asked for while it stood: its peer is told of it once more, at the next turn.
    var mustTell = false

    /// Something is known that was not when the last was begun: what failed before says little.
    mutating func hurry(now: Instant) {
      next = min(next, now + RelayBook.hurriedRetry)
      failures = min(failures, RelayBook.attempts - 1)
    }
  }

  /// A want that nobody repeats ends.
  static let wantLife = Duration.seconds(120)
  /// Circuits to one peer that are built at the same time.
  static let attempts = 3
  /// Between the beginnings of these. The first time is for a peer whose path in use is silent.
  static let hurriedRetry = Duration.milliseconds(150)
  static let firstRetry = Duration.seconds(1)
  /// After as many the wait doubles, up to this.
  static let longestRetry = Duration.seconds(60)
  /// A circuit that stands carries a check within twice the time that it took to stand, and these bounds: a
  /// relay that lets circuits stand may drop or alter what they carry.
  static let shortestProof = Duration.seconds(1)
  static let longestProof = Duration.seconds(3)
  /// A relay that was asked for a place answers within this, a session with it included.
  static let askingTime = Duration.seconds(10)
  /// Peers that circuits are wanted to at once.
  static let wants = NodeLimits.peers

  var selection = RelaySelection()
  var probes = RelayProbes()
  var shortage = RelayShortage()
  var held: [KeyHash: Held] = [:]
  /// Relays that were asked for a place, and when.
  var asking: [KeyHash: Instant] = [:]
  var nextReservationLook: Instant?
  var wanted: [PeerID: Wanted] = [:]
  /// What the shell was told last.
  var announced: [RelayReservation] = []
  var announcedEntry: KeyHash?

  /// Neighbours whose sessions are over, or did not come about: what follows is for the next turn, because it
  /// may change the table of neighbours.
  private(set) var lost: [(peerID: PeerID, end: CircuitEnd)] = []
  /// Answers to cells of circuits that aren't there.
  var unknownBudget = RequestBudget(perSecond: 20)

  mutating func noteLost(_ peerID: PeerID, _ end: CircuitEnd) {
    if !lost.contains(where: { $0.peerID == peerID }) { lost.append((peerID, end)) }
  }

  mutating func takeLost() -> [(peerID: PeerID, end: CircuitEnd)] {
    defer { lost.removeAll(keepingCapacity: true) }
    return lost
  }

  /// Whether circuits may begin at this neighbour with their first cell.
  func isHeld(_ relay: KeyHash) -> Bool { held[relay] != nil }

  /// In the order of relays, for the record.
  var reservations: [RelayReservation] {
    held.keys.sorted().compactMap { held[$0]?.reservation }.prefix(RecordPrivatePart.reservationLimit)
      .map { $0 }
  }
}

extension PeerRecord {
  /// How its owner is used as a relay; `nil` when it is none.
  func relayProfile(at wall: WallTime, mayDial: (Endpoint) -> Bool) -> RelayProfile? {
    guard let relay = body.relay, body.serviceType == .lightPublic, body.relayOffer > 0, !isTombstone,
      body.expiry > wall, let endpoint = body.endpoints.map(\.endpoint).first(where: mayDial)
    else { return nil }
    return RelayProfile(
      keyHash: keyHash, endpoint: endpoint, onionKey: relay.onionKey, operatorName: relay.operatorName,
      region: body.region, servesStreams: relay.streamPort != nil && relay.streamCertificate != nil)
  }
}
