import MeshCrypto
import MeshNode
import MeshWire

/// Look-ups among thousands of whole nodes while no backbone answers: some nodes publish their records to
/// those nearest to them, and others look for them, through whatever liars there are.
public struct LookupRun: Sendable {
  public let seed: UInt64
  public let founders: Int
  /// How many of them lie, 0 to 1.
  public let liarShare: Double
  /// Disjoint paths.
  public let paths: Int
  public let lies: [Lie]
  /// Nodes that publish, and how many others look each of them up.
  public let targets: Int
  public let askers: Int
  /// Keys that the liars have made beforehand.
  public let groundKeys: Int

  public init(
    seed: UInt64, founders: Int, liarShare: Double = 0, paths: Int = 4, lies: [Lie] = Lie.allCases,
    targets: Int = 50, askers: Int = 5, groundKeys: Int = Conspiracy.keyCount
  ) {
    self.seed = seed
    self.founders = founders
    self.liarShare = liarShare
    self.paths = paths
    self.lies = lies
    self.targets = targets
    self.askers = askers
    self.groundKeys = groundKeys
  }

  /// What was seen.
  public struct Outcome: Sendable {
    public var violation: Violation?
    public var attempted = 0
    public var found = 0
    /// Those among them that the asker knew itself.
    public var known = 0
    /// Nodes on the way to those that knew, over all that others were asked for.
    public var hops = 0
    /// Handshakes that the askers began.
    public var handshakes = 0
    /// Of each that was found.
    public var times: [Duration] = []
    /// Times that a record went to a node, in all publications.
    public var pushed = 0
    public var nodesAwake = 0
    public var events = 0
  }

  static let link = LinkQuality(delay: .milliseconds(20), jitter: .milliseconds(30), loss: 0.005)
  /// From the first publication's beginning to the last one's end.
  static let publicationGap = Duration.milliseconds(500)
  static let lookupGap = Duration.milliseconds(300)
  /// Longer than a look-up may take.
  static let patience = Duration.seconds(30)

  /// Plays it.
  public func play() -> Outcome {
    let census = Census(seed: seed, founders: founders, liarShare: liarShare)
    let conspiracy =
      liarShare > 0 ? Conspiracy(census, lies: lies, seed: seed &+ 1, keyCount: groundKeys) : nil
    var chance = Chance(seed: seed).stream(0x6c6f_6f6b)
    var world = World(seed: chance.next(), usual: Self.link)
    world.backbone.isReachable = false
    world.backbone.patience = .zero
    world.populate(census, conspiracy: conspiracy, paths: paths)
    var outcome = Outcome()
    let published = publish(&world, census, &chance, &outcome)
    lookUp(published, &world, census, &chance, &outcome)
    outcome.violation = world.monitor.violation
    outcome.nodesAwake = world.hosts.count
    outcome.events = world.eventCount
    return outcome
  }

  private func publish(
    _ world: inout World, _ census: Census, _ chance: inout Chance, _ outcome: inout Outcome
  ) -> [MemberID] {
    var published: [MemberID] = []
    while published.count < targets {
      let target = census.honestFounder(&chance)
      if published.contains(target) { continue }
      published.append(target)
      world.publish(world.host(of: target))
      world.run(Self.publicationGap)
    }
    world.run(Self.patience + .seconds(10))
    outcome.pushed = published.reduce(0) {
      $0 + Int(world[world.host(of: $1)].node.counters.recordsPushed)
    }
    return published
  }

  private func lookUp(
    _ published: [MemberID], _ world: inout World, _ census: Census, _ chance: inout Chance,
    _ outcome: inout Outcome
  ) {
    var before: [HostID: (hops: UInt64, handshakes: UInt64)] = [:]
    for target in published {
      for _ in 0..<askers {
        let asker = otherFounder(than: target, census, &chance)
        let host = world.host(of: asker)
        // Its table is read first.
        world.run(Self.lookupGap)
        let counters = world[host].node.counters
        if before[host] == nil { before[host] = (counters.lookupHops, counters.handshakesStarted) }
        let peerID = census.peerID(of: target)
        _ = world.with(host) { node, now in node.lookUp(peerID, now: now) }
        outcome.attempted += 1
      }
    }
    world.run(Self.patience)
    for (host, earlier) in before.sorted(by: { $0.key < $1.key }) {
      outcome.hops += Int(world[host].node.counters.lookupHops - earlier.hops)
      outcome.handshakes += Int(world[host].node.counters.handshakesStarted - earlier.handshakes)
    }
    for finished in world.takeFinishedLookups() {
      guard case .found(_, let source, let took) = finished.outcome else { continue }
      outcome.found += 1
      if source == .cache { outcome.known += 1 }
      outcome.times.append(took)
    }
  }

  private func otherFounder(than target: MemberID, _ census: Census, _ chance: inout Chance) -> MemberID {
    while true {
      let member = census.honestFounder(&chance)
      if member != target { return member }
    }
  }
}
