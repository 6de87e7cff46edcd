public import MeshWire

/// What a ``PathTable`` wants done.
public enum PathAction: Sendable, Hashable {
  /// Send a path check with this id there: a datagram of full size whose answer is as large.
  case check(UInt64, Endpoint)
  /// Packets go there from here on.
  case use(Endpoint, PathChange)
  /// Tell the peer where we may be, and ask where it may be.
  case wantsCandidates
  /// No path through a relay is known, and one may be needed.
  case wantsRelay
}

/// Why another path is used.
public enum PathChange: String, Sendable, Hashable {
  case better = "a better path has carried full-size packets both ways"
  case silent = "the path before stopped answering"
  case gone = "the path before is gone"
  case unproven = "the path before carried no full-size packets"
}

/// The paths to one peer while there is a session with it: finds out which carry full-size packets both ways,
/// uses the best of these, and steps to another as soon as the one in use is silent.
///
/// A session begins on whatever path its handshake ended on. From then on each other path has to prove itself
/// by checks (SMH1.md §9), the better kinds are preferred, and within one kind the faster path. The two ends
/// choose each for itself.
public struct PathTable: Sendable {
  /// The ways that are known, in the order in which they were found.
  public private(set) var paths: [Path] = []
  /// Where packets go; `nil` before the first session.
  public private(set) var inUse: Endpoint?
  /// Paths that were not taken because ``PathLimits/paths`` were there.
  public private(set) var refused: UInt64 = 0
  /// Checks that were not sent because ``PathLimits/unansweredChecks`` had gone unanswered.
  public private(set) var withheld: UInt64 = 0

  /// Since when nothing has been heard on the path in use though something was sent there.
  private var waitingSince: Instant?
  /// When the path in use was asked by a check whether it still carries anything.
  private var askedAt: Instant?
  /// Since when the path in use is in doubt.
  private var doubtSince: Instant?
  /// Packets that come elsewhere raise no other doubt before this.
  private var doubtNotBefore = Instant(nanoseconds: 0)
  private var lastHeard: Instant?
  /// The peer has moved to the path in use, and packets of full size have until then to pass there both ways:
  /// to the first of these times before others are looked at as well, to the second before it is kept because
  /// none of them has answered either.
  private var proofDue: (first: Instant, last: Instant)?
  /// When the peer is asked again while the path in use is in doubt: the first question may be lost.
  private var nextAsk: Instant?
  private var asks = 0
  private var nextPunch: Instant?
  private var punches = 0
  private var pending: [PathAction] = []
  private var unanswered = CheckBudget()
  /// The same for what each backbone names: no more than ``PathLimits/backbones``.
  private var shares: [PeerID: CheckBudget] = [:]
  /// How many backbones there are, which share what may go to where they say that the peer is.
  public var backbones = 1

  public init() {}

  /// What is known of the way to an endpoint.
  public func path(to endpoint: Endpoint) -> Path? { paths.first { $0.endpoint == endpoint } }

  /// Whether packets from there come on a path that is known; allocates nothing.
  public func knows(_ endpoint: Endpoint) -> Bool {
    for path in paths where path.endpoint == endpoint { return true }
    return false
  }

  /// Whether full-size packets have passed both ways there; allocates nothing.
  public func hasProven(_ endpoint: Endpoint) -> Bool {
    for path in paths where path.endpoint == endpoint { return path.isProven }
    return false
  }

  /// Whether the path in use is being compared with the others because it is silent.
  public var isInDoubt: Bool { doubtSince != nil }

  /// Whether the path in use has been asked if it still carries anything, and hasn't answered yet.
  public var isAsked: Bool { askedAt != nil || doubtSince != nil }

  /// Whether the peer has been heard on the path in use within that time, and nothing speaks against that
  /// path.
  public func hasHeard(within time: Duration, now: Instant) -> Bool {
    !isAsked && (lastHeard.map { now - $0 <= time } ?? false)
  }

  public var current: Path? { inUse.flatMap { path(to: $0) } }

  // MARK: What is learned

  /// A session's handshake has ended there.
  public mutating func established(on endpoint: Endpoint, _ kind: PathKind, now: Instant) {
    use(endpoint, kind, now: now)
    for position in paths.indices {
      // M1 and M2 are datagrams of full size, one each way.
      if paths[position].endpoint == endpoint {
        paths[position].provenAt = now
      } else {
        paths[position].begin(now: now)
      }
    }
  }

  /// The peer has shown that it is there now (SMH1.md §9, roaming). It was shown with a small packet, and
  /// where it was before may be gone: the path is used at once, and has to prove itself while it is.
  public mutating func moved(to endpoint: Endpoint, _ kind: PathKind, now: Instant) {
    use(endpoint, kind, now: now)
    begin(endpoint, now: now)
    if current?.isProven == false {
      proofDue = (now + PathLimits.proof, now + PathLimits.proof + PathLimits.longestProof)
    }
  }

  private mutating func use(_ endpoint: Endpoint, _ kind: PathKind, now: Instant) {
    if !knows(endpoint) { add(Path(endpoint: endpoint, kind: kind), mustFit: true) }
    // The one before is watched like the others from here on.
    if let inUse, inUse != endpoint, let old = position(of: inUse), paths[old].nextCheck == nil {
      paths[old].nextCheck = now
    }
    inUse = endpoint
    proofDue = nil
    waitingSince = nil
    askedAt = nil
    doubtSince = nil
    lastHeard = now
    punches = 0
    nextPunch = kind.isDirect ? nil : now
  }

  /// The peer may be there.
  ///
  /// - Parameter backbone: who says so, if it isn't the peer itself.
  public mutating func found(
    _ endpoint: Endpoint, _ kind: PathKind, by backbone: PeerID? = nil, now: Instant
  ) {
    guard !knows(endpoint) else { return }
    var path = Path(endpoint: endpoint, kind: kind, by: backbone)
    path.begin(now: now)
    add(path, mustFit: false)
  }

  /// The peer, or a backbone for it, has named it anew, or says that it is trying at this moment.
  public mutating func named(
    _ endpoint: Endpoint, _ kind: PathKind, by backbone: PeerID? = nil, now: Instant
  ) {
    guard let position = position(of: endpoint) else {
      return found(endpoint, kind, by: backbone, now: now)
    }
    paths[position].isOnlyClaimed = false
    guard endpoint != inUse, !paths[position].isProven else { return }
    if paths[position].mayBeginAnew(now) {
      paths[position].askedAnew(by: backbone)
      paths[position].begin(now: now)
    } else if paths[position].asked(by: backbone), paths[position].nextCheck == nil {
      // Whoever named it before may have had nothing left to pay for its checks.
      paths[position].begin(now: now)
    }
  }

  /// A check of the peer's came from there: ours gets through now, if ever (RFC 8445 §7.3.1.4).
  public mutating func checked(from endpoint: Endpoint, _ kind: PathKind, now: Instant) {
    guard let position = position(of: endpoint) else {
      var path = Path(endpoint: endpoint, kind: kind)
      path.isOnlyClaimed = true
      path.beginOnce(now: now)
      return add(path, mustFit: false)
    }
    guard endpoint != inUse, !paths[position].isProven else { return }
    _ = paths[position].asked(by: nil)
    if paths[position].isOnlyClaimed {
      paths[position].beginOnce(now: now)
    } else if paths[position].tries != 1 {
      paths[position].begin(now: now)
    }
  }

  /// It exists no more: a circuit that ended.
  public mutating func lost(_ endpoint: Endpoint, now: Instant) {
    guard let position = position(of: endpoint) else { return }
    paths.remove(at: position)
    guard inUse == endpoint else { return }
    inUse = nil
    proofDue = nil
    beginDoubt(now)
    pending.append(.wantsRelay)
  }

  /// Something that this peer passes on is silent: it is asked at once whether it is there.
  public mutating func doubted(now: Instant) {
    if inUse != nil, !isAsked { doubt(now) }
  }

  /// All that was known of addresses is in question: one of the ends is somewhere else.
  public mutating func addressesChanged(now: Instant) {
    guard inUse != nil else { return }
    beginDoubt(now)
    punches = 0
  }

  /// The session has ended.
  public mutating func ended() {
    inUse = nil
    proofDue = nil
    waitingSince = nil
    askedAt = nil
    doubtSince = nil
    nextPunch = nil
    pending = []
    for position in paths.indices { paths[position].nextCheck = nil }
  }

  // MARK: Packets

  /// A packet that calls for an answer went out on the path in use; allocates nothing.
  public mutating func sent(now: Instant) { if waitingSince == nil { waitingSince = now } }

  /// An authentic packet came from there; allocates nothing.
  public mutating func heard(from endpoint: Endpoint, now: Instant) {
    guard endpoint == inUse else {
      guard let position = position(of: endpoint) else { return }
      guard paths[position].isProven else { return }
      // The peer has stepped to another path, perhaps because this one lets nothing through any more.
      if askedAt == nil, doubtSince == nil, let lastHeard, now - lastHeard > PathLimits.hint,
        now >= doubtNotBefore
      {
        doubtNotBefore = now + PathLimits.doubtPause
        doubt(now)
      }
      return
    }
    waitingSince = nil
    lastHeard = now
    // Small packets don't show that large ones pass.
    if proofDue != nil, doubtSince != nil { return }
    askedAt = nil
    doubtSince = nil
  }

  /// The answer to a check came from there. Returns whether it was one of ours.
  public mutating func answered(_ id: UInt64, from endpoint: Endpoint, now: Instant) -> Bool {
    guard let position = position(of: endpoint), paths[position].answered(id, now: now) else { return false }
    if endpoint == inUse { proofDue = nil }
    heard(from: endpoint, now: now)
    consider(position, now: now)
    return true
  }

  /// Whether a path that has just proved itself is to be used at once.
  private mutating func consider(_ position: Int, now: Instant) {
    let candidate = paths[position]
    guard candidate.endpoint != inUse else { return }
    guard let current else { return switchTo(candidate, .gone, now: now) }
    guard doubtSince == nil, !candidate.isHeldDown(now) else { return }
    if candidate.kind < current.kind {
      switchTo(candidate, .better, now: now)
    } else if candidate.kind == current.kind, let mine = candidate.roundTrip, let other = current.roundTrip,
      mine < other * 4 / 5, mine + PathLimits.worthwhile < other
    {
      switchTo(candidate, .better, now: now)
    }
  }

  private mutating func switchTo(_ path: Path, _ change: PathChange, now: Instant) {
    if let inUse, let old = position(of: inUse) {
      switch change {
      case .silent, .unproven: paths[old].failed(now: now)
      case .better, .gone: paths[old].nextCheck = now
      }
    }
    use(path.endpoint, path.kind, now: now)
    if !path.kind.isDirect { nextPunch = now + PathLimits.punches[0] }
    // What has proved itself before, and is better, may have been passed over for an answer that came sooner.
    for position in paths.indices where paths[position].kind < path.kind && paths[position].isProven {
      paths[position].begin(now: now)
    }
    pending.append(.use(path.endpoint, change))
  }

  // MARK: Time

  /// When ``advance(to:nextID:into:)`` is wanted next.
  public var nextDeadline: Instant? {
    guard inUse != nil || doubtSince != nil else { return nil }
    var earliest = pending.isEmpty ? nextPunch : Instant(nanoseconds: 0)
    func consider(_ deadline: Instant?) {
      guard let deadline else { return }
      earliest = min(earliest ?? deadline, deadline)
    }
    for path in paths where isWatched(path) { consider(path.nextCheck) }
    if let proofDue { consider(doubtSince == nil ? proofDue.first : proofDue.last) }
    if let doubtSince {
      if best(since: doubtSince) != nil { earliest = doubtSince }
      consider(nextAsk)
    } else {
      consider(askedAt.map { $0 + grace } ?? waitingSince.map { $0 + patience })
    }
    return earliest
  }

  /// Fires what is due.
  ///
  /// - Parameter nextID: 64 random bits, never given before.
  public mutating func advance(to now: Instant, nextID: () -> UInt64, into actions: inout [PathAction]) {
    if let proofDue {
      if doubtSince == nil, proofDue.first <= now { beginDoubt(now) }
      if proofDue.last <= now { self.proofDue = nil }
    }
    if doubtSince == nil, askedAt != nil || waitingSince.map({ $0 + patience <= now }) ?? false { doubt(now) }
    if let doubtSince, let other = best(since: doubtSince) {
      switchTo(other, inUse == nil ? .gone : proofDue == nil ? .silent : .unproven, now: now)
    }
    if doubtSince != nil, let due = nextAsk, due <= now { ask(now) }
    if inUse != nil || doubtSince != nil, let punch = nextPunch, punch <= now { self.punch(now) }
    for position in paths.indices where isWatched(paths[position]) {
      guard let due = paths[position].nextCheck, due <= now else { continue }
      guard mayCheck(paths[position], now: now) else {
        withheld += 1
        paths[position].nextCheck = nil
        continue
      }
      let id = nextID()
      paths[position].sent(id, now: now, isInDoubt: doubtSince != nil)
      actions.append(.check(id, paths[position].endpoint))
    }
    actions += pending
    pending.removeAll(keepingCapacity: true)
  }

  /// The path in use proves itself by what goes over it, unless it is in doubt or was never checked.
  private func isWatched(_ path: Path) -> Bool {
    path.endpoint != inUse || doubtSince != nil || askedAt != nil || !path.isProven
  }

  private mutating func mayCheck(_ path: Path, now: Instant) -> Bool {
    if path.isProven || path.endpoint == inUse || !path.kind.isDirect { return true }
    for asker in path.askers where take(of: asker, now: now) { return true }
    return false
  }

  private mutating func take(of asker: PeerID?, now: Instant) -> Bool {
    guard let asker else { return unanswered.take(now: now) }
    // Of those that are no backbones of ours any more, any one gives way: there are as many as fit.
    if shares[asker] == nil, shares.count >= PathLimits.backbones, let old = shares.keys.min() {
      shares[old] = nil
    }
    let parts = min(max(backbones, 1), PathLimits.backbones)
    return shares[asker, default: CheckBudget()].take(parts: parts, now: now)
  }

  private var patience: Duration {
    guard let roundTrip = current?.roundTrip else { return PathLimits.patience }
    return min(max(roundTrip * 3 / 2 + .milliseconds(100), PathLimits.patience), PathLimits.longestPatience)
  }

  /// How long the path in use may take to answer when it is asked.
  private var grace: Duration {
    let usual = current?.roundTrip.map { $0 * 3 / 2 } ?? PathLimits.shortestGrace
    return min(max(usual, PathLimits.shortestGrace), PathLimits.longestGrace)
  }

  /// The best other path that has proved itself since then.
  private func best(since: Instant) -> Path? {
    var best: Path?
    for path in paths where path.endpoint != inUse {
      guard let provenAt = path.provenAt, provenAt >= since else { continue }
      if let found = best, (found.kind, found.roundTrip ?? .zero) <= (path.kind, path.roundTrip ?? .zero) {
        continue
      }
      best = path
    }
    return best
  }

  /// Traffic that goes one way alone looks like silence: the path is asked first.
  private mutating func doubt(_ now: Instant) {
    guard let askedAt else {
      askedAt = now
      if let inUse { begin(inUse, now: now) }
      return
    }
    if askedAt + grace <= now { beginDoubt(now) }
  }

  private mutating func beginDoubt(_ now: Instant) {
    guard doubtSince == nil else { return }
    doubtSince = now
    doubtNotBefore = now + PathLimits.doubtPause
    for position in paths.indices { paths[position].begin(now: now) }
    asks = 0
    ask(now)
    // The relay in use may be the one that is silent, and another circuit may lead through it as well.
    let isRelayed = current.map { !$0.kind.isDirect } ?? false
    if isRelayed || !paths.contains(where: { !$0.kind.isDirect }) { pending.append(.wantsRelay) }
  }

  private mutating func ask(_ now: Instant) {
    pending.append(.wantsCandidates)
    nextAsk = asks < PathLimits.asks.count ? now + PathLimits.asks[asks] : nil
    asks += 1
  }

  private mutating func punch(_ now: Instant) {
    nextPunch = now + PathLimits.punches[min(punches, PathLimits.punches.count - 1)]
    punches += 1
    pending.append(.wantsCandidates)
    for position in paths.indices where paths[position].kind.isDirect && !paths[position].isProven {
      paths[position].begin(now: now)
    }
  }

  private func position(of endpoint: Endpoint) -> Int? { paths.firstIndex { $0.endpoint == endpoint } }

  private mutating func begin(_ endpoint: Endpoint, now: Instant) {
    if let position = position(of: endpoint) { paths[position].begin(now: now) }
  }

  private mutating func add(_ path: Path, mustFit: Bool) {
    if paths.count >= PathLimits.paths {
      guard
        let idle = paths.firstIndex(where: { $0.endpoint != inUse && !$0.isProven && $0.nextCheck == nil })
          ?? (mustFit ? paths.firstIndex { $0.endpoint != inUse } : crowding(path.namers.backbones.first))
      else {
        refused += 1
        return
      }
      paths.remove(at: idle)
    }
    paths.append(path)
  }

  private func crowding(_ backbone: PeerID?) -> Int? {
    Namers.crowding(paths.map { $0.endpoint == inUse ? nil : $0.crowders }, for: backbone)
  }
}
