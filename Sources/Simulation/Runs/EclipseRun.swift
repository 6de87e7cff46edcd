import MeshCrypto
import MeshNode
import MeshWire

/// Liars who are after one node: with keys ground until they lie beside its own they begin sessions with it,
/// so that they stand nearest in its table, and from then on they lie.
public struct EclipseRun: Sendable {
  public let seed: UInt64
  public let founders: Int
  public let liarShare: Double
  /// Ground keys that call on the victim.
  public let callers: Int
  /// Look-ups by the victim, and for it.
  public let lookups: Int
  public let groundKeys: Int

  public init(
    seed: UInt64, founders: Int = 10_000, liarShare: Double = 0.2, callers: Int = 100, lookups: Int = 25,
    groundKeys: Int = Conspiracy.keyCount
  ) {
    self.seed = seed
    self.founders = founders
    self.liarShare = liarShare
    self.callers = callers
    self.lookups = lookups
    self.groundKeys = groundKeys
  }

  /// What was seen.
  public struct Outcome: Sendable {
    public var violation: Violation?
    /// Of the victim's 20 nearest contacts, and of all, those that lie.
    public var liarsNearest = 0
    public var liarsInTable = 0
    public var contacts = 0
    public var byVictim = (attempted: 0, found: 0)
    public var forVictim = (attempted: 0, found: 0)
  }

  /// Plays it.
  public func play() -> Outcome {
    let census = Census(seed: seed, founders: founders, liarShare: liarShare)
    let conspiracy = Conspiracy(census, lies: [.besideTarget], seed: seed &+ 1, keyCount: groundKeys)
    var chance = Chance(seed: seed).stream(0x6563_6c69)
    var world = World(seed: chance.next(), usual: LookupRun.link)
    world.backbone.isReachable = false
    world.backbone.patience = .zero
    world.populate(census, conspiracy: conspiracy)
    let member = census.honestFounder(&chance)
    let victim = world.host(of: member)
    world.run(.seconds(1))
    surround(victim, conspiracy, census, &world)
    var outcome = Outcome()
    let table = world[victim].node.contacts
    let nearest = table.sorted {
      $0.distance(to: world[victim].peerID) < $1.distance(to: world[victim].peerID)
    }
    func lies(_ peerID: PeerID) -> Bool { census.member(peerID).map(census.isLiar) ?? true }
    outcome.contacts = table.count
    outcome.liarsInTable = table.count(where: lies)
    outcome.liarsNearest = nearest.prefix(20).count(where: lies)
    world.publish(victim)
    world.run(LookupRun.patience)
    _ = world.takeFinishedLookups()
    ask(victim, member, &world, census, &chance, &outcome)
    outcome.violation = world.monitor.violation
    return outcome
  }

  private func surround(
    _ victim: HostID, _ conspiracy: Conspiracy, _ census: Census, _ world: inout World
  ) {
    let plans = conspiracy.nodes(beside: world[victim].peerID, count: callers, census)
    let hosts = plans.map { plan in
      let host = world.addHost(plan)
      world.add(victim, asPeerOf: host, at: [world[victim].plan.endpoint])
      world.run(.milliseconds(50))
      return host
    }
    world.run(.seconds(10))
    // From here on whoever is there lies.
    for host in hosts { world.crash(host) }
  }

  private func ask(
    _ victim: HostID, _ member: MemberID, _ world: inout World, _ census: Census, _ chance: inout Chance,
    _ outcome: inout Outcome
  ) {
    let peerID = world[victim].peerID
    for _ in 0..<lookups {
      let (target, asker) = (census.honestFounder(&chance), census.honestFounder(&chance))
      guard target != member, asker != member else { continue }
      let wanted = census.peerID(of: target)
      _ = world.with(victim) { node, now in node.lookUp(wanted, now: now) }
      let host = world.host(of: asker)
      world.run(.seconds(2))
      _ = world.with(host) { node, now in node.lookUp(peerID, now: now) }
      outcome.byVictim.attempted += 1
      outcome.forVictim.attempted += 1
    }
    world.run(LookupRun.patience)
    for finished in world.takeFinishedLookups() {
      guard case .found = finished.outcome else { continue }
      if finished.host == victim { outcome.byVictim.found += 1 } else { outcome.forVictim.found += 1 }
    }
  }
}
