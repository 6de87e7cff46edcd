public import MeshCrypto
public import MeshWire

/// A relay that may be chosen, from its verified record.
public struct RelayProfile: Sendable, Hashable {
  public let keyHash: KeyHash
  public let endpoint: Endpoint
  public let onionKey: KeyExchangeOffer
  public let operatorName: OperatorName
  public let region: Region
  /// Whether it takes TLS streams too.
  public let servesStreams: Bool

  public init(
    keyHash: KeyHash, endpoint: Endpoint, onionKey: KeyExchangeOffer, operatorName: OperatorName,
    region: Region, servesStreams: Bool = false
  ) {
    self.keyHash = keyHash
    self.endpoint = endpoint
    self.onionKey = onionKey
    self.operatorName = operatorName
    self.region = region
    self.servesStreams = servesStreams
  }

  public var hop: RelayHop { RelayHop(keyHash: keyHash, endpoint: endpoint, onionKey: onionKey) }

  /// Whether one person may run, or one network hold, both of them.
  func isKin(of other: RelayProfile) -> Bool {
    keyHash == other.keyHash || endpoint.address.limitPrefix == other.endpoint.address.limitPrefix
      || (operatorName == other.operatorName && operatorName != .unnamed)
  }
}

/// Chooses relays by what they have done, not by what they say: latency as measured, and how many of the
/// promises that a relay made by taking a circuit it kept.
public struct RelaySelection {
  /// Relays that are kept in mind.
  public static let limit = 256
  /// What a relay is taken for that nobody has measured.
  static let unmeasured = Duration.milliseconds(150)
  /// Weight of the newest observation.
  static let weight = 0.2
  /// What is left of the share of kept promises when one is broken. A relay that lets circuits stand and
  /// drops what goes into them breaks as many promises as it keeps, and must not win by being near.
  static let brokenShare = 0.5
  /// Counts beside each round trip, so that nobody who is very near can afford to break promises.
  static let base = Duration.milliseconds(20)
  /// A chain that carried for so long has kept its promise, whatever became of it.
  public static let lasting = Duration.seconds(30)
  /// Relays that chains begin at in turn, when chains from each of them fail for a reason that nobody knows.
  static let entryLimit = 3
  /// A relay that failed is passed over for so long, and twice as long each time.
  static let firstRest = Duration.seconds(20)
  static let longestRest = Duration.seconds(1_800)
  /// Beyond so many in a row nobody counts.
  static let mostFailures = 16
  /// Middle relays are drawn from so many of the best, so that not all chains of all clients meet in one.
  static let breadth = 8

  private struct Score {
    var latency: Duration?
    /// Moving share of promises that were kept, 0 to 1.
    var kept = 0.75
    var failures = 0
    var restsUntil: Instant?
  }

  private var profiles: [KeyHash: RelayProfile] = [:]
  private var scores: [KeyHash: Score] = [:]
  /// The relay that longer chains begin at, for as long as it keeps its promises. The shell saves it.
  public internal(set) var entry: KeyHash?
  /// Earlier entries that were given up on suspicion, the longest ago first: at most ``entryLimit``.
  private var suspects: [KeyHash] = []
  private var failures = ChainFailures()
  /// Relays that broke promises, and whose record was forgotten because it was one of too many.
  public private(set) var scoresForgotten: UInt64 = 0
  /// No UDP passes here: neighbours are relays that serve streams, where there are any.
  public var needsStreams = false
  /// How many lists of relays may still come before an entry that was saved, and is not known yet, is given
  /// up.
  private var listsAwaited = 0
  /// So many: its record is looked up meanwhile.
  static let patience = 2

  public init(entry: KeyHash? = nil) { self.entry = entry }

  /// Goes on with the entry that was saved, as soon as it is known. Until then chains begin elsewhere, and it
  /// stays the entry.
  public mutating func setEntry(_ relay: KeyHash) {
    entry = relay
    listsAwaited = Self.patience
  }

  /// The entry, while nothing more is known of it than that it is.
  public var unknownEntry: KeyHash? { entry.flatMap { profiles[$0] == nil ? $0 : nil } }

  public var count: Int { profiles.count }
  /// What is known of a relay that may be chosen.
  public func profile(_ relay: KeyHash) -> RelayProfile? { profiles[relay] }

  /// Relays that may be chosen from here on, at most ``limit``; what was seen of those that stay is kept. So
  /// are the entry, and those before it: a list is a sample, and who leaves one out shall not choose another
  /// for us.
  public mutating func set(_ relays: [RelayProfile]) {
    let kept = ([entry].compactMap(\.self) + suspects).compactMap { profiles[$0] }
    profiles = [:]
    for relay in kept { profiles[relay.keyHash] = relay }
    for relay in relays where profiles.count < Self.limit || profiles[relay.keyHash] != nil {
      profiles[relay.keyHash] = relay
    }
    if unknownEntry != nil { listsAwaited = max(listsAwaited - 1, 0) }
    forgetScores()
  }

  /// Broken promises outlast the lists that leave a relay out, the worst of them: it may be on the next.
  private mutating func forgetScores() {
    let broken = scores.filter { profiles[$0.key] == nil && $0.value.kept < Score().kept }
      .sorted { ($0.value.kept, $0.key) < ($1.value.kept, $1.key) }
    scores = scores.filter { profiles[$0.key] != nil }
    for (relay, score) in broken.prefix(Self.limit) { scores[relay] = score }
    scoresForgotten += UInt64(max(0, broken.count - Self.limit))
  }

  /// One relay more, or another record of one. There is always room for the entry.
  public mutating func add(_ relay: RelayProfile) {
    guard profiles[relay.keyHash] != nil || profiles.count < Self.limit || relay.keyHash == entry else {
      return
    }
    profiles[relay.keyHash] = relay
  }

  // MARK: What was seen

  /// A round trip to the relay, or through it and back, took so long.
  public mutating func measured(_ relay: KeyHash, _ roundTrip: Duration) {
    guard isKnown(relay), roundTrip > .zero else { return }
    let known = scores[relay]?.latency
    let share = Self.weight
    scores[relay, default: Score()].latency = known.map { $0 * (1 - share) + roundTrip * share } ?? roundTrip
  }

  /// A circuit through it stood, or it gave a place. Whoever rests goes on resting: that a circuit stands
  /// doesn't say that it carries.
  public mutating func keptPromise(_ relay: KeyHash) {
    guard isKnown(relay) else { return }
    scores[relay, default: Score()].kept += (1 - (scores[relay] ?? Score()).kept) * Self.weight
  }

  /// Something came back through a whole chain that has stood for a while.
  public mutating func carried(_ path: [KeyHash]) {
    for relay in path {
      keptPromise(relay)
      scores[relay]?.failures = 0
      scores[relay]?.restsUntil = nil
    }
    if let entry, path.contains(entry) { failures.clear() }
  }

  /// It did not answer, or refused.
  public mutating func brokePromise(_ relay: KeyHash, now: Instant) {
    broke(relay, now: now)
    suspects.removeAll { $0 == relay }
    guard entry == relay else { return }
    entry = nil
    failures.clear()
  }

  private mutating func broke(_ relay: KeyHash, now: Instant) {
    guard isKnown(relay) else { return }
    blame(relay)
    let failures = scores[relay]?.failures ?? 0
    scores[relay]?.failures = min(failures + 1, Self.mostFailures)
    scores[relay]?.restsUntil = now + min(Self.firstRest * (1 << min(failures, 8)), Self.longestRest)
  }

  private mutating func blame(_ relay: KeyHash) {
    guard isKnown(relay) else { return }
    scores[relay, default: Score()].kept *= Self.brokenShare
  }

  private func isKnown(_ relay: KeyHash) -> Bool { profiles[relay] != nil || scores[relay] != nil }

  /// A chain did not come about, broke, or fell silent: whose promise that breaks. Against the first relay
  /// each circuit counts once, and once against those behind it.
  ///
  /// Of a chain of several nobody can say which relay failed. For as long as the first one answers it is not
  /// that, so that nobody behind it can have us choose another entry; unless chains fail in a row that have
  /// nothing in common but the entry. Then it is given up for one of ``entryLimit`` that take turns.
  ///
  /// - Parameters:
  ///   - entryAnswers: whether there is a session with the first relay that isn't silent.
  ///   - carried: for how long something came through it.
  /// - Returns: Whether the entry was given up on suspicion.
  public mutating func chainFailed(
    _ circuit: CircuitNumber, through path: [KeyHash], entryAnswers: Bool, carried: Duration, now: Instant
  ) -> Bool {
    guard let first = path.first, failures.isNew(circuit, blamesFirst: !entryAnswers) else { return false }
    if carried >= Self.lasting { self.carried(path) }
    guard entryAnswers else {
      brokePromise(first, now: now)
      return false
    }
    for relay in path.count > 1 ? path.dropFirst() : path[...] {
      // What others may have done gives nobody up that chains begin at: it would be a way to choose them.
      if relay == entry || suspects.contains(relay) { blame(relay) } else { broke(relay, now: now) }
    }
    guard let entry, path.count > 1, path.contains(entry) else { return false }
    failures.note(beside: path.filter { $0 != entry })
    guard failures.pointToEntry else { return false }
    suspect(entry)
    return true
  }

  private mutating func suspect(_ relay: KeyHash) {
    // Others were blamed for what it did.
    for bystander in failures.bystanders {
      scores[bystander]?.restsUntil = nil
      scores[bystander]?.failures = 0
    }
    blame(relay)
    if suspects.count >= Self.entryLimit { suspects.removeFirst() }
    suspects.append(relay)
    entry = nil
    failures.clear()
  }

  /// Whether it broke a promise and is passed over for a while.
  public func isResting(_ relay: KeyHash, now: Instant) -> Bool {
    scores[relay]?.restsUntil.map { now < $0 } ?? false
  }

  /// The lower, the sooner it is chosen: its latency, dear by the promises that it broke.
  func cost(_ relay: KeyHash) -> Double {
    let score = scores[relay] ?? Score()
    let latency = Double(((score.latency ?? Self.unmeasured) + Self.base).wholeNanoseconds)
    let kept = max(score.kept, 0.05)
    return latency / (kept * kept)
  }

  // MARK: Choice

  /// Relays that aren't resting, the best first; equals in the order of their KeyHashes.
  public func ranked(now: Instant) -> [RelayProfile] {
    profiles.values.filter { !isResting($0.keyHash, now: now) }
      .map { (outOfReach($0.keyHash), cost($0.keyHash), $0) }
      .sorted { ($0.0, $0.1, $0.2.keyHash) < ($1.0, $1.1, $1.2.keyHash) }
      .map(\.2)
  }

  /// Of several relays at which somebody is reached, the best first; resting ones last.
  ///
  /// - Parameter asNeighbours: a chain would begin there, so that it must be reached from here.
  public func order(
    _ relays: [KeyHash], asNeighbours: Bool = false, trying: TriedRelays = TriedRelays(), now: Instant
  ) -> [KeyHash] {
    relays.map { relay in
      (
        reach: asNeighbours ? outOfReach(relay) : 0, tier: tier(of: relay, trying, now), cost: cost(relay),
        relay: relay
      )
    }
    .sorted { ($0.reach, $0.tier, $0.cost, $0.relay) < ($1.reach, $1.tier, $1.cost, $1.relay) }
    .map(\.relay)
  }

  /// 1 for a relay that can't be reached from here, because it serves no streams and nothing else passes.
  private func outOfReach(_ relay: KeyHash) -> Int {
    needsStreams && profiles[relay].map { !$0.servesStreams } ?? false ? 1 : 0
  }

  /// Relays of one tier are as good as each other but for their cost: first those that no other attempt uses,
  /// among them those that aren't resting, and of the others those of the fewest chains that failed: whoever
  /// breaks them is in each. Who was asked and is silent comes last.
  private func tier(of relay: KeyHash, _ trying: TriedRelays, _ now: Instant) -> Int {
    if trying.leavesOut(relay) { return .max }
    let resting = isResting(relay, now: now) ? 1 + (scores[relay]?.failures ?? 0) : 0
    return 2 * Self.mostFailures * trying.attempts(with: relay) + resting
  }

  /// A chain of `hops` relays that ends at `last`: no two of one operator or prefix, of different regions
  /// where there are. `nil` when there are not enough.
  ///
  /// Of a chain that broke only one relay failed, and all rest. When there are no others, they are taken:
  /// a chain that may fail is better than none.
  ///
  /// - Parameter trying: the chains that are being built to the same place, from which this one shall differ.
  public mutating func chain(
    to last: RelayProfile, hops: Int, avoiding own: KeyHash, trying: TriedRelays = TriedRelays(),
    now: Instant, random: UInt64
  ) -> [RelayProfile]? {
    guard (1...CellLayout.longestChain).contains(hops) else { return nil }
    guard hops > 1 else { return [last] }
    let eligible = order(profiles.keys.filter { $0 != own }, trying: trying, now: now)
      .compactMap { profiles[$0] }.filter { !$0.isKin(of: last) }
    let known = entry.flatMap { entry in
      eligible.first {
        $0.keyHash == entry && isKnownGood(entry, now: now) && !trying.leavesOut(entry)
          && outOfReach(entry) == 0
      }
    }
    let neighbours = order(eligible.map(\.keyHash), asNeighbours: true, trying: trying, now: now)
    let another = newEntry(of: neighbours, trying: trying)
    guard let first = known ?? another.flatMap({ profiles[$0] }) else { return nil }
    if entry.map({ !isKnownGood($0, now: now) && !isAwaited($0) }) ?? true {
      entry = first.keyHash
      suspects.removeAll { $0 == first.keyHash }
      failures.clear()
    }
    var chain = [first]
    var rest = eligible.filter { !$0.isKin(of: first) }
    while chain.count < hops - 1 {
      let used = Set((chain + [last]).map(\.region))
      // Only from the best tier that has any.
      let best = rest.first.map { tier(of: $0.keyHash, trying, now) }
      let alike = rest.filter { tier(of: $0.keyHash, trying, now) == best }
      let elsewhere = alike.filter { !used.contains($0.region) }
      let pool = Array((elsewhere.isEmpty ? alike : elsewhere).prefix(Self.breadth))
      guard !pool.isEmpty else { return nil }
      let chosen = pool[Int(random % UInt64(pool.count))]
      chain.append(chosen)
      rest = rest.filter { !$0.isKin(of: chosen) }
    }
    return chain + [last]
  }

  /// The best that is not suspected. With ``entryLimit`` that are, the one that was longest ago: whoever
  /// stops chains from behind can choose among so many, and no more.
  private func newEntry(of neighbours: [KeyHash], trying: TriedRelays) -> KeyHash? {
    let fresh = neighbours.first { !suspects.contains($0) && !trying.leavesOut($0) }
    if suspects.count < Self.entryLimit, let fresh { return fresh }
    return suspects.first { neighbours.contains($0) && !trying.leavesOut($0) } ?? neighbours.first
  }

  /// An entry that can't serve this one chain, because it is kin of its last relay, stays the entry of
  /// others.
  private func isKnownGood(_ relay: KeyHash, now: Instant) -> Bool {
    profiles[relay] != nil && !isResting(relay, now: now)
  }

  /// A saved entry of which nothing is known yet.
  private func isAwaited(_ relay: KeyHash) -> Bool { profiles[relay] == nil && listsAwaited > 0 }

  /// Relays to reserve a place at, the best first, none of one prefix or operator with another or with those
  /// `held` already.
  public func reservable(_ count: Int, held: [KeyHash], avoiding own: KeyHash, now: Instant) -> [RelayProfile]
  {
    var chosen = held.compactMap { profiles[$0] }
    var new: [RelayProfile] = []
    for relay in ranked(now: now) where new.count < count && relay.keyHash != own {
      guard !held.contains(relay.keyHash), !chosen.contains(where: { $0.isKin(of: relay) }) else { continue }
      chosen.append(relay)
      new.append(relay)
    }
    return new
  }
}
