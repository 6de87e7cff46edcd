public import MeshCrypto
import MeshPaths
import MeshSession
public import MeshWire

/// A backbone that this node keeps a session with: pinned by its KeyHash, so that nobody else introduces.
public struct BackbonePin: Sendable, Hashable {
  public let keyHash: KeyHash
  public let endpoint: Endpoint

  public init(keyHash: KeyHash, endpoint: Endpoint) {
    self.keyHash = keyHash
    self.endpoint = endpoint
  }
}

/// What this node knows of its own addresses.
struct OwnAddresses {
  /// What the shell found: interfaces, mappings of the router, the owner's word. At most eight.
  var announced: [AnnouncedEndpoint] = []
  /// Where backbones see our packets come from, one for each family, the newest last.
  var observed: [Endpoint] = []

  /// What a peer is told, the likeliest first: at most ``RecordBody/endpointLimit``.
  var candidates: [AnnouncedEndpoint] {
    var seen: Set<Endpoint> = []
    let all = observed.map { AnnouncedEndpoint(.reflexive, $0) } + announced
    return Array(all.filter { seen.insert($0.endpoint).inserted }.prefix(RecordBody.endpointLimit))
  }

  mutating func observe(_ endpoint: Endpoint) -> Bool {
    guard !observed.contains(endpoint) else { return false }
    let isV4 = if case .v4 = endpoint.address { true } else { false }
    observed.removeAll { other in
      let otherIsV4 = if case .v4 = other.address { true } else { false }
      return otherIsV4 == isV4
    }
    observed.append(endpoint)
    return true
  }
}

extension MeshNode {
  /// Times at which a handshake without an answer is helped by an introduction, after its beginning.
  static let introductionTimes: [Duration] = [.zero, .seconds(1), .seconds(4), .seconds(12)]
  /// An introduction of one peer by one backbone, or its own word, is taken no more often.
  static let introductionInterval: Duration = .milliseconds(300)
  /// Backbones are asked where they see us no more often, for one reason or another.
  static let observationInterval: Duration = .milliseconds(500)
  /// So much before a keepalive would be due it is asked that, and the keepalive isn't.
  static let observationLead: Duration = .seconds(2)

  /// The backbones that this node keeps a session with, for introductions; those left out are let go.
  public mutating func setBackbones(_ pins: [BackbonePin], now: Instant) {
    for slot in neighbours.entries.indices { neighbours.entries[slot].isBackbone = false }
    backboneCount = min(pins.count, NodeLimits.backbones)
    for pin in pins.prefix(NodeLimits.backbones) where pin.keyHash != own.keyHash {
      let slot =
        neighbours.slot(pin.keyHash.peerID) ?? neighbours.add(Neighbour(peerID: pin.keyHash.peerID, now: now))
      guard neighbours.entries[slot].pinned ?? pin.keyHash == pin.keyHash else { continue }
      neighbours.entries[slot].isBackbone = true
      neighbours.entries[slot].keyHash = pin.keyHash
      neighbours.entries[slot].addCandidate(pin.endpoint, .owner)
      neighbours.entries[slot].retryAt = nil
      connect(slot, urgent: true, now: now)
    }
  }

  /// The shell's word on this node's own addresses, after each change: interfaces, mappings, configuration.
  /// Sessions look at their paths anew when it differs from before.
  public mutating func addressesChanged(_ announced: [AnnouncedEndpoint], now: Instant) {
    let kept = Array(announced.prefix(RecordBody.endpointLimit))
    guard kept != addresses.announced else { return }
    // Also when there were none before: an interface that changes its address has none for a moment.
    addresses.announced = kept
    networkChanged(now: now)
  }

  /// This machine is on another network, whether or not its own addresses show it: sessions look at their
  /// paths anew.
  public mutating func networkChanged(now: Instant) {
    detectAgainSoon(now: now)
    for peerID in neighbours.entries.filter(\.isConnected).map(\.peerID) {
      guard let slot = neighbours.slot(peerID) else { continue }
      if neighbours.entries[slot].isBackbone { observeAgain(slot, now: now) }
      neighbours.entries[slot].paths.addressesChanged(now: now)
      advancePaths(slot, now: now)
    }
  }

  /// A server has told where this node's packets come from; what peers hear from here on.
  mutating func addressObserved(_ endpoint: Endpoint, now: Instant) {
    guard endpoint.isDialable || mayDial(endpoint), addresses.observe(endpoint) else { return }
    emit(.addressObserved(endpoint))
    for peerID in neighbours.entries.filter({ $0.isPeer && $0.isConnected }).map(\.peerID) {
      guard let slot = neighbours.slot(peerID), neighbours.entries[slot].paths.current?.kind.isDirect != true
      else { continue }
      exchangeCandidates(slot, now: now)
    }
  }

  /// Where we are seen may have changed without this machine's noticing: its router was started anew, or
  /// moved.
  private mutating func lookAtOwnAddress(now: Instant) {
    guard lastObserved.map({ now - $0 >= Self.observationInterval }) ?? true else { return }
    lastObserved = now
    for slot in neighbours.entries.indices
    where neighbours.entries[slot].isBackbone && neighbours.entries[slot].isConnected {
      observeAgain(slot, now: now)
    }
  }

  /// Asks a backbone where it sees us, and again instead of each keepalive: a backbone that has forgotten the
  /// session answers nothing, and what it should pass on to us would be lost.
  mutating func observeAgain(_ slot: Int, now: Instant) {
    neighbours.entries[slot].observeAt = now + (keepalive - Self.observationLead)
    guard let id = requests.add(.observe, to: neighbours.entries[slot].peerID, now: now) else { return }
    sendControl(.observe(id), slot: slot, now: now)
  }

  /// Tells a peer where we may be: inside the session when its path carries something, and through a backbone
  /// too when that is in question.
  mutating func exchangeCandidates(_ slot: Int, now: Instant) {
    let own = addresses.candidates
    guard neighbours.entries[slot].current != nil else { return }
    if !own.isEmpty { sendControl(.candidates(own, wantsAnswer: true), slot: slot, now: now) }
    // Also, and above all, when nothing is known of it: the first question may have been lost.
    lookAtOwnAddress(now: now)
    if neighbours.entries[slot].paths.isInDoubt { askForIntroduction(slot, now: now) }
  }

  /// Asks a backbone to tell a peer where we may be.
  mutating func askForIntroduction(_ slot: Int, wantsAnswer: Bool = true, now: Instant) {
    guard neighbours.entries[slot].isPeer, let keyHash = neighbours.entries[slot].keyHash else { return }
    neighbours.entries[slot].isKnownAway = false
    let backbones = neighbours.entries.indices.filter {
      neighbours.entries[$0].isBackbone && neighbours.entries[$0].isConnected
    }
    for backbone in backbones {
      counters.introductionsAsked += 1
      sendControl(
        .introduce(keyHash, addresses.candidates, wantsAnswer: wantsAnswer), slot: backbone, now: now)
    }
  }

  /// Carries out a request of the control, peer or backbone class, each only for whom it is (protocol.md §6).
  mutating func serveIntroduction(_ message: ControlMessage, slot: Int, now: Instant) {
    let sender = neighbours.entries[slot]
    switch message {
    case .observe(let id):
      guard let endpoint = sender.current?.endpoint, endpoint.carrier == .udp else { return }
      sendControl(.observed(id, endpoint), slot: slot, now: now)
    case .candidates(let endpoints, let wantsAnswer):
      guard sender.isPeer else { return counters.count(.introductionNotFromPeer) }
      guard mayTake(after: sender.lastCandidates, now: now) else { return }
      neighbours.entries[slot].lastCandidates = now
      take(endpoints, of: slot, .named, now: now)
      if wantsAnswer, let slot = neighbours.slot(sender.peerID), neighbours.entries[slot].isConnected {
        sendControl(.candidates(addresses.candidates, wantsAnswer: false), slot: slot, now: now)
      }
    case .introduce(let target, let endpoints, let wantsAnswer):
      pass(endpoints, of: sender, to: target, wantsAnswer: wantsAnswer, asker: slot, now: now)
    case .introduction(let from, let endpoints, let wantsAnswer):
      guard sender.isBackbone else { return counters.count(.introductionNotFromPeer) }
      introduced(from, endpoints, wantsAnswer: wantsAnswer, by: sender.peerID, now: now)
    case .introductionFailed(let target):
      guard sender.isBackbone, let peer = neighbours.slot(target.peerID) else { return }
      neighbours.entries[peer].isKnownAway = true
      counters.introductionsFailed += 1
    default: break
    }
  }

  /// A backbone passes on what one node tells another, and where it sees that node itself. It judges nothing:
  /// the other takes it from its peers only.
  private mutating func pass(
    _ endpoints: [AnnouncedEndpoint], of sender: Neighbour, to target: KeyHash, wantsAnswer: Bool, asker: Int,
    now: Instant
  ) {
    guard configuration.serviceType == .backbone, let keyHash = sender.keyHash else {
      return counters.count(.introductionNotFromPeer)
    }
    // Also of those that fail: they tell who is here.
    guard neighbours.entries[asker].introducing.take(now: now) else {
      return counters.count(.controlOverBudget)
    }
    guard let slot = neighbours.slot(target.peerID), neighbours.entries[slot].keyHash == target,
      neighbours.entries[slot].isConnected
    else { return sendControl(.introductionFailed(target), slot: asker, now: now) }
    guard neighbours.entries[slot].introduced.take(now: now) else {
      return counters.count(.controlOverBudget)
    }
    var known = endpoints.filter { $0.endpoint != sender.current?.endpoint }
    if let seen = sender.current?.endpoint, seen.carrier == .udp {
      known.insert(AnnouncedEndpoint(.reflexive, seen), at: 0)
    }
    counters.introductionsPassed += 1
    sendControl(
      .introduction(keyHash, Array(known.prefix(RecordBody.endpointLimit)), wantsAnswer: wantsAnswer),
      slot: slot, now: now)
  }

  /// A backbone says that a node wants to reach us, and where it may be.
  private mutating func introduced(
    _ from: KeyHash, _ endpoints: [AnnouncedEndpoint], wantsAnswer: Bool, by backbone: PeerID, now: Instant
  ) {
    guard let slot = neighbours.slot(from.peerID), neighbours.entries[slot].isPeer,
      neighbours.entries[slot].keyHash == from
    else { return counters.count(.introductionNotFromPeer) }
    guard mayTakeIntroduction(of: slot, by: backbone, now: now) else { return }
    counters.introductionsTaken += 1
    if wantsAnswer { askForIntroduction(slot, wantsAnswer: false, now: now) }
    take(endpoints, of: slot, .introduced, by: backbone, now: now)
  }

  /// Whoever names addresses has us send there: not often, so that nobody else is hurt by it.
  private mutating func mayTake(after before: Instant?, now: Instant) -> Bool {
    guard let before, now - before < Self.introductionInterval else { return true }
    counters.count(.controlOverBudget)
    return false
  }

  private mutating func mayTakeIntroduction(of slot: Int, by backbone: PeerID, now: Instant) -> Bool {
    var last = neighbours.entries[slot].lastIntroductions
    guard mayTake(after: last[backbone], now: now) else { return false }
    // Those of backbones that are none of ours any more go.
    if last.count >= NodeLimits.backbones {
      last = last.filter { now - $0.value < Self.introductionInterval }
    }
    last[backbone] = now
    neighbours.entries[slot].lastIntroductions = last
    return true
  }

  /// Tries where a peer says that it may be, now: it does the same.
  private mutating func take(
    _ endpoints: [AnnouncedEndpoint], of slot: Int, _ origin: Candidate.Origin, by backbone: PeerID? = nil,
    now: Instant
  ) {
    let peerID = neighbours.entries[slot].peerID
    for announced in endpoints where mayDial(announced.endpoint) {
      pathFound(announced.endpoint, to: peerID, origin: origin, by: backbone, now: now)
    }
  }

  mutating func takeObservation(
    _ id: ControlMessage.RequestID, _ endpoint: Endpoint, slot: Int, now: Instant
  ) {
    guard let request = requests.take(id, from: neighbours.entries[slot].peerID),
      case .observe = request.kind
    else { return counters.count(.controlMalformed) }
    addressObserved(endpoint, now: now)
  }

  /// While nobody answers, an introduction now and then.
  mutating func introduceIfDue(_ slot: Int, now: Instant) {
    guard neighbours.entries[slot].isPeer, let attempt = neighbours.entries[slot].attempt,
      let due = attempt.introductionDue, due <= now
    else { return }
    neighbours.entries[slot].attempt?.introductions += 1
    askForIntroduction(slot, now: now)
  }
}
