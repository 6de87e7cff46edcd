public import MeshCrypto
public import MeshWire

/// A relay that may be chosen, from its verified record.
public struct RelayProfile: Sendable, Hashable {
  public let keyHash: KeyHash
  public let endpoint: Endpoint
  public let onionKey: KeyExchangeOffer
  public let operatorName: OperatorName
  public let region: Region

  public init(
    keyHash: KeyHash, endpoint: Endpoint, onionKey: KeyExchangeOffer, operatorName: OperatorName,
    region: Region
  ) {
    self.keyHash = keyHash
    self.endpoint = endpoint
    self.onionKey = onionKey
    self.operatorName = operatorName
    self.region = region
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
  /// A relay that failed is passed over for so long, and twice as long each time.
  static let firstRest = Duration.seconds(20)
  static let longestRest = Duration.seconds(1_800)
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

  public init(entry: KeyHash? = nil) { self.entry = entry }

  /// Goes on with the entry that was saved.
  public mutating func setEntry(_ relay: KeyHash) { entry = relay }

  public var count: Int { profiles.count }
  /// What is known of a relay that may be chosen.
  public func profile(_ relay: KeyHash) -> RelayProfile? { profiles[relay] }

  /// Relays that may be chosen from here on, at most ``limit``; what was seen of those that stay is kept.
  public mutating func set(_ relays: [RelayProfile]) {
    profiles = [:]
    for relay in relays.prefix(Self.limit) { profiles[relay.keyHash] = relay }
    scores = scores.filter { profiles[$0.key] != nil }
  }

  /// One relay more, or another record of one.
  public mutating func add(_ relay: RelayProfile) {
    guard profiles[relay.keyHash] != nil || profiles.count < Self.limit else { return }
    profiles[relay.keyHash] = relay
  }

  // MARK: What was seen

  /// A round trip to the relay, or through it and back, took so long.
  public mutating func measured(_ relay: KeyHash, _ roundTrip: Duration) {
    guard profiles[relay] != nil, roundTrip > .zero else { return }
    let known = scores[relay]?.latency
    let share = Self.weight
    scores[relay, default: Score()].latency = known.map { $0 * (1 - share) + roundTrip * share } ?? roundTrip
  }

  /// A circuit through it stood, or cells still come through.
  public mutating func keptPromise(_ relay: KeyHash) {
    guard profiles[relay] != nil else { return }
    scores[relay, default: Score()].kept += (1 - (scores[relay]?.kept ?? 0.75)) * Self.weight
    scores[relay]?.failures = 0
    scores[relay]?.restsUntil = nil
  }

  /// It did not answer, broke a circuit, or let nothing through any more.
  public mutating func brokePromise(_ relay: KeyHash, now: Instant) {
    guard profiles[relay] != nil else { return }
    scores[relay, default: Score()].kept *= 1 - Self.weight
    let failures = scores[relay]?.failures ?? 0
    scores[relay]?.failures = min(failures + 1, 16)
    scores[relay]?.restsUntil = now + min(Self.firstRest * (1 << min(failures, 8)), Self.longestRest)
    if entry == relay { entry = nil }
  }

  /// Whether it broke a promise and is passed over for a while.
  public func isResting(_ relay: KeyHash, now: Instant) -> Bool {
    scores[relay]?.restsUntil.map { now < $0 } ?? false
  }

  /// The lower, the sooner it is chosen: its latency, dear by the promises that it broke.
  func cost(_ relay: KeyHash) -> Double {
    let score = scores[relay] ?? Score()
    let latency = Double((score.latency ?? Self.unmeasured).wholeNanoseconds)
    let kept = max(score.kept, 0.05)
    return latency / (kept * kept)
  }

  // MARK: Choice

  /// Relays that aren't resting, the best first; equals in the order of their KeyHashes.
  public func ranked(now: Instant) -> [RelayProfile] {
    profiles.values.filter { !isResting($0.keyHash, now: now) }
      .map { (cost($0.keyHash), $0) }
      .sorted { ($0.0, $0.1.keyHash) < ($1.0, $1.1.keyHash) }
      .map(\.1)
  }

  /// Of several relays at which somebody is reached, the best first; resting ones last.
  public func order(_ relays: [KeyHash], trying: TriedRelays = TriedRelays(), now: Instant) -> [KeyHash] {
    relays.map { (tier: tier(of: $0, trying, now), cost: cost($0), relay: $0) }
      .sorted { ($0.tier, $0.cost, $0.relay) < ($1.tier, $1.cost, $1.relay) }
      .map(\.relay)
  }

  /// Relays of one tier are as good as each other but for their cost: first those that no other attempt uses,
  /// and among them those that aren't resting. Who was asked and is silent comes last.
  private func tier(of relay: KeyHash, _ trying: TriedRelays, _ now: Instant) -> Int {
    if trying.leavesOut(relay) { return .max }
    return 2 * trying.attempts(with: relay) + (isResting(relay, now: now) ? 1 : 0)
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
      eligible.first { $0.keyHash == entry && isKnownGood(entry, now: now) && !trying.leavesOut(entry) }
    }
    guard let first = known ?? eligible.first else { return nil }
    if entry.map({ !isKnownGood($0, now: now) }) ?? true { entry = first.keyHash }
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

  /// An entry that can't serve this one chain, because it is kin of its last relay, stays the entry of
  /// others.
  private func isKnownGood(_ relay: KeyHash, now: Instant) -> Bool {
    profiles[relay] != nil && !isResting(relay, now: now)
  }

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
