import MeshCrypto
import MeshPaths
import MeshSession
import MeshWire

/// A node that we have, want or had a session with. With an entry of the owner's it is a peer; without, of
/// the control class (protocol.md §6).
struct Neighbour {
  let peerID: PeerID
  let overlay: UInt128
  /// What the owner said of it; `nil` for the control class.
  var entry: PeerEntry?
  var keyHash: KeyHash?
  /// Whether ``keyHash`` was proved by a signature, and not only named by a hint.
  var isProved = false
  var publicKey: IdentityPublicKey?
  /// Where it reached us from first, if it did: what the bound on strangers of one network counts by.
  var inboundPrefix: IPAddress?

  /// The session that packets are sent in.
  var current: LiveSession?
  /// The one before it, for receiving only.
  var previous: LiveSession?
  /// Our own handshake with it, while one is under way.
  var attempt: Attempt?

  var candidates: [Candidate] = []
  /// Ways to it, while there is a session.
  var paths = PathTable()
  /// A backbone of ours: its session is kept, and it may introduce.
  var isBackbone = false
  /// When it is asked next where it sees us.
  var observeAt: Instant?
  /// The backbone says that it has no session with this peer.
  var isKnownAway = false
  /// When each backbone's last introduction of it was taken: one of them can't hold up the others'. No more
  /// than ``NodeLimits/backbones``.
  var lastIntroductions: [PeerID: Instant] = [:]
  var lastCandidates: Instant?
  /// What a backbone passes on from it, and to it: no one sender can use up what others need.
  var introducing = RequestBudget(perSecond: 10)
  var introduced = RequestBudget(perSecond: 200)
  /// It is a relay that serves streams, and doesn't answer over UDP.
  var streamWish: StreamWish?
  /// IP packets that wait for a session.
  var queue: [[UInt8]] = []
  /// Datagrams with IP packets that went out while the path in use was in question.
  var unsure = UnsureDatagrams()
  /// Control messages that wait for a session.
  var controlQueue: [ControlMessage] = []
  /// No attempt is begun before.
  var retryAt: Instant?
  var failures = 0
  /// An invitation of its that we are redeeming.
  var redeeming: Redeeming?
  /// A record that it announced is being verified; another has to wait.
  var isVerifyingAnnouncement = false
  /// No other announcement of its is checked before, unless it is a peer.
  var nextAnnouncementAt: Instant?
  /// The look-up for its record that is under way.
  var lookup: LookupID?
  /// Whether it has us as a peer, once it has said so.
  var addedUs: Bool?
  /// When to ask again, after it said no.
  var askAgainAt: Instant?
  /// It has verified our M3 with our public key once, so it holds the key.
  var holdsOurKey = false
  /// Its session is kept without being used: a relay where we hold a place, or a node that holds one here.
  var isKept = false
  var lastHeard: Instant?
  var lastUsed: Instant
  var handshakeTook: Duration?
  /// Why there is no session, as far as it is known; for a person.
  var trouble: String?
  /// Twenty requests a second (`docs/protocol/SMH1.md` §10).
  var requests = RequestBudget(perSecond: 20)

  var packetsIn: UInt64 = 0
  var packetsOut: UInt64 = 0
  var bytesIn: UInt64 = 0
  var bytesOut: UInt64 = 0

  init(peerID: PeerID, now: Instant) {
    self.peerID = peerID
    overlay = OverlayAddress(of: peerID).value
    lastUsed = now
  }

  var isPeer: Bool { entry != nil }
  var isConnected: Bool { current != nil }

  /// The KeyHash that another one may not take the place of: the owner's word, or a proof.
  var pinned: KeyHash? { entry?.keyHash ?? (isProved ? keyHash : nil) }

  /// Notes an endpoint to try: first what has worked, last and few what others only say.
  ///
  /// - Parameter backbone: who says so, of several that may.
  mutating func addCandidate(
    _ endpoint: Endpoint, _ origin: Candidate.Origin, by backbone: PeerID? = nil
  ) {
    if origin.isHearsay {
      if let known = candidates.firstIndex(where: { $0.endpoint == endpoint }) {
        if origin != .hint { candidates[known].namers.add(backbone) }
        return
      }
      let ofThatKind = candidates.count { $0.origin == origin }
      let limit = origin == .hint ? NodeLimits.hintedCandidates : NodeLimits.namedCandidates
      if ofThatKind >= limit || candidates.count >= NodeLimits.candidates {
        // What the peer has said last is nearer the truth than what it said before.
        let own = candidates.firstIndex { $0.origin == origin && $0.namers == Namers(backbone) }
        guard origin != .hint, let old = Namers.crowding(candidates.map(\.namers), for: backbone) ?? own
        else { return }
        candidates.remove(at: old)
      }
      candidates.append(Candidate(endpoint: endpoint, origin: origin, backbone: backbone))
    } else {
      candidates.removeAll { $0.endpoint == endpoint }
      candidates.insert(Candidate(endpoint: endpoint, origin: origin), at: 0)
      // Who moves a lot leaves many addresses behind that lead nowhere.
      let used = candidates.indices.filter { candidates[$0].origin == .lastUsed }
      if used.count > NodeLimits.usedCandidates, let oldest = used.last { candidates.remove(at: oldest) }
      if candidates.count > NodeLimits.candidates { candidates.removeLast() }
    }
  }

  mutating func dropHints() { candidates.removeAll { $0.origin == .hint } }
}

/// An established session and where it goes.
struct LiveSession {
  var session: Session
  /// Names it among all sessions of this node's life.
  let serial: UInt64
  var endpoint: Endpoint
  var origin: Candidate.Origin
  let since: Instant
}

/// A handshake of ours under way, and where its datagrams go.
struct Attempt {
  var initiator: Initiator
  /// Until an answer comes, M1 goes to a window of these.
  private(set) var targets: [Candidate]
  /// The one that answered first; only it is listened to from then on.
  var answered: Candidate?
  /// Where a part of an answer has come from last, which nobody has vouched for yet.
  var heardFrom: Candidate?
  let startedAt: Instant
  /// Whether our public key is in M3.
  let sendsPublicKey: Bool
  /// The session that came of it, once it is established; until that is confirmed, M3 is resent.
  var serial: UInt64?

  /// Times that M1 has been sent.
  var rounds = 0
  /// Times that a backbone was asked to introduce us.
  var introductions = 0

  /// When a backbone is to be asked next; not once somebody has answered.
  var introductionDue: Instant? {
    guard answered == nil, introductions < MeshNode.introductionTimes.count else { return nil }
    return startedAt + MeshNode.introductionTimes[introductions]
  }

  /// One more endpoint to send M1 to; `false` when it is one already, or somebody has answered.
  mutating func add(_ candidate: Candidate) -> Bool {
    guard answered == nil else { return false }
    if let known = targets.firstIndex(where: { $0.endpoint == candidate.endpoint }) {
      targets[known].namers.add(candidate.namers.backbones.first)
      return false
    }
    if targets.count >= NodeLimits.candidates {
      guard let crowding = Namers.crowding(targets.map(\.namers), for: candidate.namers.backbones.first)
      else { return false }
      targets.remove(at: crowding)
    }
    targets.append(candidate)
    return true
  }

  mutating func remove(_ endpoint: Endpoint) {
    targets.removeAll { $0.endpoint == endpoint }
    if answered?.endpoint == endpoint { answered = nil }
  }

  /// It is known to be at `endpoint` now: M1 goes there first, if nobody has answered yet.
  mutating func aim(at endpoint: Endpoint) {
    guard answered == nil else { return }
    targets.removeAll { $0.endpoint == endpoint }
    targets.insert(Candidate(endpoint: endpoint, origin: .moved), at: 0)
  }

  /// How many endpoints get the same M1; the next time, it is the turn of the next ones.
  static let width = 8
  /// M1 goes at most this often to an endpoint that another node named.
  static let hintedRounds = 5

  /// Where M1 goes this time.
  var window: [Candidate] {
    let eligible = rounds > Self.hintedRounds ? targets.filter { !$0.origin.isHearsay } : targets
    guard eligible.count > Self.width else { return eligible }
    let start = (max(rounds, 1) - 1) * Self.width % eligible.count
    return (0..<Self.width).map { eligible[(start + $0) % eligible.count] }
  }
}

/// Somewhere that a node may be.
struct Candidate: Hashable {
  enum Origin: String, Hashable {
    case lastUsed = "the endpoint that it used last answered"
    case owner = "the endpoint that was added with it answered"
    case record = "an endpoint of its record answered"
    case hint = "an endpoint that another node named answered"
    case inbound = "it reached us from there"
    case moved = "it moved there, and answered a challenge"
    case introduced = "an endpoint that it named through a backbone answered"
    case named = "an endpoint that it named itself answered"
    case circuit = "a relay that it is reached through answered"
    case stream = "UDP is blocked here: a TLS stream to it stands"
    case better = "a better path has carried full-size packets both ways"
    case fallback = "the path before stopped answering"

    /// Somebody said so, perhaps to have us send there: only a few datagrams go (protocol.md §6).
    var isHearsay: Bool { self == .hint || self == .introduced || self == .named }
  }
  let endpoint: Endpoint
  let origin: Origin
  /// Who says so.
  var namers: Namers

  /// - Parameter backbone: `nil` when it is no backbone that says so.
  init(endpoint: Endpoint, origin: Origin, backbone: PeerID? = nil) {
    self.endpoint = endpoint
    self.origin = origin
    namers = Namers(backbone)
  }
}

/// A secret that we show until the inviter answers.
struct Redeeming {
  let id: RedemptionID
  let secret: [UInt8]
  let until: Instant
  var next: Instant

  static let interval: Duration = .seconds(2)
  static let timeout: Duration = .seconds(30)
}

/// So many a second, counted in whole seconds.
struct RequestBudget {
  let perSecond: Int
  private var second: UInt64 = 0
  private var used = 0

  init(perSecond: Int) { self.perSecond = perSecond }

  mutating func take(now: Instant) -> Bool {
    let current = now.nanoseconds / 1_000_000_000
    if current != second {
      second = current
      used = 0
    }
    used += 1
    return used <= perSecond
  }
}
