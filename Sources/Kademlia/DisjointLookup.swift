public import MeshWire

/// A look-up over disjoint paths (S/Kademlia, Baumgart and Mies 2007, §4.4): the seeds are dealt out over d
/// paths, each of which searches by what its own nodes said, and no node is asked by two of them. The result
/// is the union, so who lies on one path can't steer the others.
///
/// A path that asks the nearest first is lost to the first liar on it: whatever a liar says of nodes beside
/// the target sounds better than what any honest node can say. With 40 % of liars and three hops 1 path in 5
/// gets through, and of 8 such paths all fail in 15 % of look-ups. So a path isn't one chain but several,
/// **walks**, one after the other: each starts from one seed of our own, follows what this seed and its
/// descendants said, and ends after a few answers, whatever they promise. A liar costs its walk, never the
/// path: what it named is no candidate of the next walk. That is the fair share that every answerer gets.
/// Silence costs a walk little: it is counted in answers, with a wider bound on queries.
///
/// With fewer seeds than paths there are as many paths as seeds, and each asks more nodes at a time; a path's
/// last walk may use all that is left of its budget. So a node that has just joined by one contact finds what
/// a plain look-up finds.
///
/// Claims can be false, so one that failed keeps no other path from asking the same node elsewhere.
///
/// The contract is ``Lookup``'s.
public struct DisjointLookup: Sendable {
  public let target: PeerID
  public let own: PeerID
  public let limits: Limits

  /// One path, or the companions: what it has still to begin with, and the walk that it is on.
  private struct Path: Sendable {
    /// Seeds of the walks to come.
    var walks: [[ContactHint]]
    /// Queries that it may still send.
    var queries: Int
    var walkLimits: Lookup.Limits
    var walk: Lookup?
    /// How many it has begun.
    var begun = 0
  }

  /// A node that some path has asked.
  fileprivate struct Asked: Sendable {
    enum State: Sendable {
      case pending(until: Instant)
      case answered
      case lost
    }
    var path: Int
    var walk: Int
    var state: State
    /// Claims of it that were tried; at most `claimsPerPeer` for each path.
    var tried: [ContactHint]
  }

  private var paths: [Path] = []
  private var asked: [PeerID: Asked] = [:]
  /// Queries by prefix.
  private var prefixes: [IPAddress: Int] = [:]
  private var ended = Lookup.Counters()
  private var answers: [ContactHint] = []
  private var walkEnds: [ContactHint] = []
  private var endedClaims: [ContactHint] = []
  private let deadline: Instant
  private var result: LookupResult?
  /// Something was reported that `next` hasn't seen.
  private var isReady = true

  /// Starts a look-up.
  ///
  /// - Parameters:
  ///   - seeds: contacts of the own table, the nearest to the target first; `limits.seeds` of them are used.
  ///   - companions: nodes to ask besides, whose hints are not followed: those that we have sessions with.
  public init(
    target: PeerID, own: PeerID, seeds: [ContactHint], companions: [ContactHint] = [],
    limits: Limits = Limits(), now: Instant
  ) {
    self.target = target
    self.own = own
    self.limits = limits
    deadline = now + limits.timeout
    let seeds = Array(seeds.prefix(limits.seeds))
    let count = min(max(1, limits.paths), seeds.count)
    for path in 0..<count {
      let dealt = stride(from: path, to: seeds.count, by: count).map { seeds[$0] }
      // What the paths that there are no seeds for would have done.
      paths.append(makePath(dealt, share: (max(1, limits.paths) + count - 1 - path) / count))
    }
    let others = companions.filter { companion in !seeds.contains { $0.peerID == companion.peerID } }
      .prefix(limits.companions)
    guard !others.isEmpty else { return }
    var walk = walkLimits
    walk.hintsPerAnswer = 0
    walk.parallelism = limits.companionParallelism
    walk.results = others.count
    walk.candidates = others.count
    walk.timeout = limits.timeout
    paths.append(Path(walks: [Array(others)], queries: others.count, walkLimits: walk))
  }

  private func makePath(_ seeds: [ContactHint], share: Int) -> Path {
    var walk = walkLimits
    walk.parallelism = share
    guard limits.paths > 1 else {
      walk.parallelism = limits.parallelism
      return Path(walks: [seeds], queries: 2 * limits.queriesPerPath, walkLimits: walk)
    }
    return Path(walks: seeds.map { [$0] }, queries: share * limits.queriesPerPath, walkLimits: walk)
  }

  private var walkLimits: Lookup.Limits {
    var walk = Lookup.Limits()
    walk.results = limits.results
    walk.hintsPerAnswer = limits.hintsPerAnswer
    walk.candidates = limits.candidates
    walk.claimsPerPeer = limits.claimsPerPeer
    walk.queryTimeout = limits.queryTimeout
    walk.timeout = limits.walkTimeout
    walk.allowsLoopback = limits.allowsLoopback
    return walk
  }

  // MARK: Steps

  /// What to do next. Deterministic in the calls made so far.
  public mutating func next(now: Instant) -> LookupStep {
    if let result { return .finished(result) }
    guard now < deadline else { return finish(.deadline) }
    var isOver = true
    for path in paths.indices {
      while paths[path].walk != nil || beginWalk(path, now: now) {
        switch step(path, now: now) {
        case .query(let hint):
          noteQuery(hint, path: path, now: now)
          return .query(hint)
        case .waiting:
          isOver = false
        case .finished(let result):
          absorb(result)
          paths[path].walk = nil
          continue
        }
        break
      }
    }
    if isOver { return finish(answers.count < limits.results ? .exhausted : .converged) }
    isReady = false
    return .waiting(until: wakeAt)
  }

  /// When `next` is wanted again: at once (any moment long past) after a report that it hasn't seen, `nil`
  /// when it is over.
  public var deadlineOfNext: Instant? {
    if result != nil { return nil }
    return isReady ? Instant(nanoseconds: 0) : wakeAt
  }

  private var wakeAt: Instant {
    var earliest = deadline
    for path in paths {
      if let walk = path.walk { earliest = min(earliest, walk.wakeAt) }
    }
    return earliest
  }

  /// Starts a path's next walk, if it has seeds and queries left.
  private mutating func beginWalk(_ path: Int, now: Instant) -> Bool {
    guard paths[path].queries > 0, !paths[path].walks.isEmpty else { return false }
    let seeds = paths[path].walks.removeFirst()
    paths[path].begun += 1
    var walk = paths[path].walkLimits
    walk.timeout = min(walk.timeout, deadline - now)
    walk.queries = paths[path].queries
    if !paths[path].walks.isEmpty {
      walk.answers = limits.answersPerWalk
      walk.queries = min(walk.queries, limits.queriesPerWalk)
    } else {
      // Nothing is to come after it.
      walk.timeout = deadline - now
    }
    paths[path].walk = Lookup(target: target, own: own, seeds: seeds, limits: walk, now: now)
    return true
  }

  private mutating func step(_ path: Int, now: Instant) -> LookupStep {
    guard var walk = paths[path].walk else { return .waiting(until: now) }
    // Not copied while it is changed.
    paths[path].walk = nil
    var refusedByPrefix = 0
    let step = walk.next(now: now) { hint in
      let permission = self.permission(hint, now: now)
      if case .never(let byPrefix) = permission, byPrefix { refusedByPrefix += 1 }
      return permission.forWalk
    }
    ended.prefixLimit += refusedByPrefix
    paths[path].walk = walk
    return step
  }

  private enum Permission {
    case ask
    case notNow
    case never(byPrefix: Bool)

    var forWalk: Lookup.Permission {
      switch self {
      case .ask: .ask
      case .notNow: .notNow
      case .never: .never
      }
    }
  }

  /// Whether a walk may ask this node: nobody else has, and its network has not had its share.
  private func permission(_ hint: ContactHint, now: Instant) -> Permission {
    if let asked = asked[hint.peerID] {
      switch asked.state {
      case .answered: return .never(byPrefix: false)
      case .pending(let until) where now < until: return .notNow
      case .pending, .lost:
        // Where it was said to be it isn't; another may know better.
        let isTried = asked.tried.contains { $0.keyHash == hint.keyHash && $0.endpoint == hint.endpoint }
        if isTried || asked.tried.count >= limits.claimsPerPeer * max(1, limits.paths) {
          return .never(byPrefix: false)
        }
      }
    }
    if limits.allowsLoopback, hint.endpoint.address.isLoopback { return .ask }
    let used = prefixes[hint.endpoint.address.limitPrefix, default: 0]
    return used < limits.queriesPerPrefix ? .ask : .never(byPrefix: true)
  }

  private mutating func noteQuery(_ hint: ContactHint, path: Int, now: Instant) {
    paths[path].queries -= 1
    let tried = asked[hint.peerID]?.tried ?? []
    asked[hint.peerID] = Asked(
      path: path, walk: paths[path].begun, state: .pending(until: now + limits.queryTimeout),
      tried: tried + [hint])
    prefixes[hint.endpoint.address.limitPrefix, default: 0] += 1
  }

  // MARK: Reports

  /// An authenticated node answered with hints. Returns whether it had been asked; if not, nothing is
  /// believed.
  @discardableResult
  public mutating func answered(from peerID: PeerID, hints: [ContactHint], now: Instant) -> Bool {
    guard result == nil else { return false }
    guard let entry = asked[peerID], entry.state.isOpen else {
      ended.unexpectedAnswers += 1
      return false
    }
    asked[peerID]?.state = .answered
    isReady = true
    // A walk that is over has no use for it.
    guard entry.walk == paths[entry.path].begun else { return true }
    paths[entry.path].walk?.answered(from: peerID, hints: hints, now: now)
    return true
  }

  /// A query could not be sent, or its node could not be reached or authenticated. Another claim of where
  /// that node is, if there is one, may be asked next.
  public mutating func failed(_ peerID: PeerID, now: Instant) {
    guard result == nil, let entry = asked[peerID], case .pending = entry.state else { return }
    asked[peerID]?.state = .lost
    isReady = true
    guard entry.walk == paths[entry.path].begun else { return }
    paths[entry.path].walk?.failed(peerID, now: now)
  }

  // MARK: The end

  /// Ends the look-up now, as when the caller has what it wanted.
  public mutating func stop() {
    if result == nil { _ = finish(.stopped) }
  }

  /// Whether it is over.
  public var isFinished: Bool { result != nil }

  /// Queries in flight, at most `limits.paths` (or `parallelism`) and `limits.companionParallelism`.
  public var inFlight: Int { paths.reduce(0) { $0 + ($1.walk?.inFlight ?? 0) } }

  /// Queries sent over all paths, and what was refused.
  public var counters: Lookup.Counters {
    var counters = ended
    for path in paths {
      if let walk = path.walk { counters.add(walk.counters) }
    }
    return counters
  }

  /// Nodes on the way to one that was asked on the walk that its path is still on, itself included.
  public func hops(to peerID: PeerID) -> Int? {
    guard let entry = asked[peerID], entry.walk == paths[entry.path].begun else { return nil }
    return paths[entry.path].walk?.hops(to: peerID)
  }

  /// Claims of where the target is that have come up so far, whether proved or not; empty when there is none.
  public var targetClaims: [ContactHint] {
    result?.targetClaims ?? paths.reduce(endedClaims) { $0 + ($1.walk?.targetClaims ?? []) }
  }

  private mutating func absorb(_ result: LookupResult) {
    ended.add(result.counters)
    answers += result.closest
    if let nearest = result.closest.first { walkEnds.append(nearest) }
    endedClaims += result.targetClaims
  }

  private mutating func finish(_ reason: LookupResult.Reason) -> LookupStep {
    for path in paths.indices {
      guard var walk = paths[path].walk else { continue }
      paths[path].walk = nil
      walk.stop()
      if case .finished(let result) = walk.next(now: deadline) { absorb(result) }
    }
    answers.sort { $0.peerID.distance(to: target) < $1.peerID.distance(to: target) }
    walkEnds.sort { $0.peerID.distance(to: target) < $1.peerID.distance(to: target) }
    let proved = answers.filter { $0.peerID == target }
    let result = LookupResult(
      target: target, reason: reason, closest: Array(answers.prefix(limits.results)),
      targetClaims: proved.isEmpty ? endedClaims : proved, walkEnds: walkEnds, counters: ended)
    self.result = result
    paths = []
    asked = [:]
    prefixes = [:]
    (answers, walkEnds, endedClaims) = ([], [], [])
    return .finished(result)
  }
}

extension DisjointLookup.Asked.State {
  /// Whether an answer may still come: one that is late is used.
  fileprivate var isOpen: Bool {
    if case .answered = self { false } else { true }
  }
}
