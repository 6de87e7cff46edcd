public import MeshWire

/// An iterative node look-up (Kademlia paper §2.3) as a state machine: it asks the nearest nodes it knows of,
/// α at a time, for nearer ones, until the k nearest have answered.
///
/// Contract: call `next` until it says `.waiting` or `.finished`; report each query's outcome by `answered`
/// or `failed`; call `next` again after either and when the moment of `.waiting` comes. Hints are claims:
/// whoever dials one must authenticate its whole KeyHash, and only then report `answered`.
public struct Lookup: Sendable {
  public let target: PeerID
  public let own: PeerID
  public let limits: Limits
  public private(set) var counters = Counters()
  /// Queries in flight, at most `limits.parallelism`.
  public private(set) var inFlight = 0

  private enum State: Hashable, Sendable {
    case known
    case asked(until: Instant)
    case timedOut
    case answered
    case failed
  }

  private struct Candidate: Sendable {
    let hint: ContactHint
    let distance: PeerID.Distance
    /// Nodes on the way to it, itself included: 1 for a seed.
    let hops: Int
    var state: State
  }

  /// Nearest first; claims of one PeerID in the order of their arrival. At most `limits.candidates`.
  private var candidates: [Candidate] = []
  private let deadline: Instant
  private var result: LookupResult?

  /// Starts a look-up. `seeds` are the nearest contacts of the own table; those that could not be asked are
  /// dropped as hints would be.
  public init(
    target: PeerID, own: PeerID, seeds: [ContactHint], limits: Limits = Limits(), now: Instant
  ) {
    self.target = target
    self.own = own
    self.limits = limits
    deadline = now + limits.timeout
    for seed in seeds { add(seed, hops: 1) }
  }

  // MARK: Steps

  /// What to do next. Deterministic in the calls made so far.
  public mutating func next(now: Instant) -> LookupStep { next(now: now) { _ in .ask } }

  /// What others who search for the same target say to asking this node.
  enum Permission {
    case ask
    /// Another is asking it.
    case notNow
    /// There is no use in it, or no right to it.
    case never
  }

  /// As ``next(now:)``, for one of several look-ups that share what has been asked.
  mutating func next(now: Instant, permission: (ContactHint) -> Permission) -> LookupStep {
    if let result { return .finished(result) }
    expire(now: now)
    guard now < deadline else { return finish(.deadline) }
    guard counters.answered < limits.answers else { return finish(.answerLimit) }
    var answered = 0
    var undecided = false
    var isBlocked = false
    var position = 0
    while position < candidates.count {
      // One PeerID at a time: its claims stand side by side.
      let end = claims(at: position)
      switch decide(position..<end, permission) {
      case .answered:
        answered += 1
        // Every nearer node has answered or failed.
        if answered == limits.results, !undecided { return finish(.converged) }
      case .waiting: undecided = true
      case .ask(let index):
        guard counters.queried < limits.queries else {
          return inFlight == 0 ? finish(.queryLimit) : wait()
        }
        guard inFlight < limits.parallelism else { return wait() }
        candidates[index].state = .asked(until: now + limits.queryTimeout)
        counters.queried += 1
        inFlight += 1
        return .query(candidates[index].hint)
      case .elsewhere: isBlocked = true
      case .lost: break
      }
      // Farther nodes than the k nearest live ones can't matter while those are undecided.
      if answered >= limits.results { return wait() }
      position = end
    }
    return inFlight == 0 && !isBlocked ? finish(.exhausted) : wait()
  }

  /// Ends the look-up now, as when the caller has what it wanted.
  public mutating func stop() {
    if result == nil { _ = finish(.stopped) }
  }

  /// Whether it is over.
  public var isFinished: Bool { result != nil }

  private enum Verdict {
    case answered
    case waiting
    case ask(Int)
    /// Another search is asking it.
    case elsewhere
    case lost
  }

  private func claims(at position: Int) -> Int {
    var end = position + 1
    while end < candidates.count, candidates[end].distance == candidates[position].distance { end += 1 }
    return end
  }

  private mutating func decide(
    _ claims: Range<Int>, _ permission: (ContactHint) -> Permission
  ) -> Verdict {
    var known: Int?
    var isElsewhere = false
    for index in claims {
      switch candidates[index].state {
      case .answered: return .answered
      case .asked: return .waiting
      case .known where known == nil:
        switch permission(candidates[index].hint) {
        case .ask: known = index
        case .notNow: isElsewhere = true
        case .never: candidates[index].state = .failed
        }
      case .known, .timedOut, .failed: break
      }
    }
    return known.map { .ask($0) } ?? (isElsewhere ? .elsewhere : .lost)
  }

  private mutating func expire(now: Instant) {
    for index in candidates.indices {
      if case .asked(let until) = candidates[index].state, until <= now {
        candidates[index].state = .timedOut
        counters.timedOut += 1
        inFlight -= 1
      }
    }
  }

  private func wait() -> LookupStep { .waiting(until: wakeAt) }

  /// When the first query in flight, or all of it, is given up.
  var wakeAt: Instant {
    var until = deadline
    for candidate in candidates {
      if case .asked(let moment) = candidate.state { until = min(until, moment) }
    }
    return until
  }

  private mutating func finish(_ reason: LookupResult.Reason) -> LookupStep {
    let answered = candidates.filter { $0.state == .answered }
    let ofTarget = candidates.prefix { $0.hint.peerID == target }
    let proved = ofTarget.filter { $0.state == .answered }
    let result = LookupResult(
      target: target, reason: reason,
      closest: answered.prefix(limits.results).map(\.hint),
      targetClaims: (proved.isEmpty ? Array(ofTarget) : proved).map(\.hint),
      counters: counters)
    self.result = result
    inFlight = 0
    candidates = []
    return .finished(result)
  }

  // MARK: Answers

  /// An authenticated node answered with hints. Returns whether it had been asked; if not, nothing is
  /// believed.
  @discardableResult
  public mutating func answered(from peerID: PeerID, hints: [ContactHint], now: Instant) -> Bool {
    guard result == nil else { return false }
    guard let index = askedIndex(of: peerID) else {
      counters.unexpectedAnswers += 1
      return false
    }
    if case .asked = candidates[index].state { inFlight -= 1 }
    candidates[index].state = .answered
    counters.answered += 1
    counters.hintsOverLimit += max(0, hints.count - limits.hintsPerAnswer)
    let hops = candidates[index].hops + 1
    for hint in hints.prefix(limits.hintsPerAnswer) { add(hint, hops: hops) }
    return true
  }

  /// A query could not be sent, or its node could not be reached or authenticated. Another claim of where
  /// that node is, if there is one, is asked next.
  public mutating func failed(_ peerID: PeerID, now: Instant) {
    guard result == nil, let index = askedIndex(of: peerID) else { return }
    if case .asked = candidates[index].state { inFlight -= 1 }
    candidates[index].state = .failed
    counters.failed += 1
  }

  /// The claim of `peerID` that was asked last and has no answer: at most one of them is in flight.
  private func askedIndex(of peerID: PeerID) -> Int? {
    var timedOut: Int?
    for index in candidates.indices where candidates[index].hint.peerID == peerID {
      switch candidates[index].state {
      case .asked: return index
      case .timedOut: timedOut = index
      case .answered: return nil
      case .known, .failed: break
      }
    }
    return timedOut
  }

  /// Nodes on the way to one that is being asked or has answered, itself included; `nil` for any other.
  func hops(to peerID: PeerID) -> Int? {
    candidates.first { candidate in
      switch candidate.state {
      case .asked, .timedOut, .answered: candidate.hint.peerID == peerID
      case .known, .failed: false
      }
    }?.hops
  }

  /// Claims of where the target is that have come up so far, whether proved or not; empty when there is none.
  public var targetClaims: [ContactHint] {
    result?.targetClaims ?? candidates.prefix { $0.hint.peerID == target }.map(\.hint)
  }

  // MARK: Candidates

  private mutating func add(_ hint: ContactHint, hops: Int) {
    guard hint.peerID != own else {
      counters.ownIdentifier += 1
      return
    }
    guard hint.endpoint.isDialable(allowingLoopback: limits.allowsLoopback) else {
      counters.notDialable += 1
      return
    }
    let distance = hint.peerID.distance(to: target)
    // After all that are as near or nearer.
    var low = 0
    var high = candidates.count
    while low < high {
      let middle = (low + high) / 2
      if candidates[middle].distance <= distance { low = middle + 1 } else { high = middle }
    }
    var claims = 0
    for candidate in candidates[..<low].reversed() {
      guard candidate.distance == distance else { break }
      if candidate.hint.keyHash == hint.keyHash, candidate.hint.endpoint == hint.endpoint { return }
      if candidate.state == .answered { claims = limits.claimsPerPeer }
      claims += 1
    }
    guard claims < limits.claimsPerPeer else {
      counters.refusedClaims += 1
      return
    }
    candidates.insert(Candidate(hint: hint, distance: distance, hops: hops, state: .known), at: low)
    guard candidates.count > limits.candidates else { return }
    counters.candidatesOverLimit += 1
    // Those that were asked stay: their answers are part of the result.
    if let farthest = candidates.lastIndex(where: { $0.state == .known }) { candidates.remove(at: farthest) }
  }
}
