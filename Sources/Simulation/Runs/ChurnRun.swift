import MeshNode
import MeshWire

/// An hour in which half of a network's nodes go without a word and as many new ones come, each by way of one
/// node that it was told of, while no backbone answers.
public struct ChurnRun: Sendable {
  public let seed: UInt64
  public let founders: Int
  /// How many of them are replaced, 0 to 1.
  public let replaced: Double
  public let lookups: Int

  public init(seed: UInt64, founders: Int = 1_000, replaced: Double = 0.5, lookups: Int = 600) {
    self.seed = seed
    self.founders = founders
    self.replaced = replaced
    self.lookups = lookups
  }

  /// What was seen.
  public struct Outcome: Sendable {
    public var violation: Violation?
    /// Look-ups for nodes that were there until they had ended, and that the asker had no record of.
    public var attempted = 0
    public var found = 0
    /// The same in each sixth of the hour.
    public var sixths = Array(repeating: (attempted: 0, found: 0), count: 6)
    /// Of each that was found.
    public var times: [Duration] = []
    public var hops = 0
    /// Handshakes that were begun by all nodes.
    public var handshakes = 0
    public var events = 0
  }

  static let length = Duration.seconds(3_600)
  /// A newcomer that has been there for this long can be expected to be found.
  static let settling = Duration.seconds(60)

  private struct Resident {
    let host: HostID
    let since: Instant
  }

  private struct Question {
    let target: HostID
    let at: Instant
  }

  /// Plays it.
  public func play() -> Outcome {
    let latecomers = Int(Double(founders) * replaced)
    let census = Census(seed: seed, founders: founders, latecomers: latecomers)
    var chance = Chance(seed: seed).stream(0x6368_7572)
    var world = World(seed: chance.next(), usual: LookupRun.link)
    world.backbone.isReachable = false
    world.backbone.patience = .zero
    world.populate(census)
    let begin = world.now
    var residents = (0..<founders).map { number in
      let host = world.host(of: MemberID(number: number))
      world.keepPublished(host, from: chance.duration(upTo: World.renewalInterval))
      return Resident(host: host, since: begin)
    }
    var outcome = Outcome()
    var questions: [FinishedLookup.Key: Question] = [:]
    let changeGap = Self.length / max(1, latecomers)
    let lookupGap = Self.length / lookups
    var (changes, asked) = (0, 0)
    let end = begin + Self.length
    while world.now < end, world.monitor.violation == nil {
      let nextChange = changes < latecomers ? begin + changeGap * changes : end
      let nextLookup = asked < lookups ? begin + lookupGap * asked : end
      world.run(until: min(end, nextChange, nextLookup))
      collect(&world, &questions, &outcome, begin)
      if nextChange <= world.now, changes < latecomers {
        replace(&residents, by: MemberID(number: founders + changes), &world, &chance)
        changes += 1
      }
      if nextLookup <= world.now, asked < lookups {
        ask(residents, &world, &questions, &chance)
        asked += 1
      }
    }
    world.run(LookupRun.patience)
    collect(&world, &questions, &outcome, begin)
    world.inspect()
    outcome.violation = world.monitor.violation
    outcome.events = world.eventCount
    for host in world.hosts {
      outcome.hops += Int(host.node.counters.lookupHops)
      outcome.handshakes += Int(host.node.counters.handshakesStarted)
    }
    return outcome
  }

  private func replace(
    _ residents: inout [Resident], by member: MemberID, _ world: inout World, _ chance: inout Chance
  ) {
    let leaver = chance.index(below: residents.count)
    world.crash(residents[leaver].host)
    residents.swapAt(leaver, residents.count - 1)
    residents.removeLast()
    let sponsor = chance.pick(residents).host
    let host = world.newcomer(member)
    residents.append(Resident(host: host, since: world.now))
    world.add(sponsor, asPeerOf: host, at: [world[sponsor].plan.endpoint])
    world.keepPublished(host)
  }

  private func ask(
    _ residents: [Resident], _ world: inout World, _ questions: inout [FinishedLookup.Key: Question],
    _ chance: inout Chance
  ) {
    let settled = residents.filter { $0.host.number < founders || world.now - $0.since >= Self.settling }
    let (asker, target) = (chance.pick(settled).host, chance.pick(settled).host)
    guard asker != target else { return }
    let peerID = world[target].peerID
    let lookup = world.with(asker) { node, now in node.lookUp(peerID, now: now) }
    questions[FinishedLookup.Key(host: asker, lookup: lookup)] = Question(target: target, at: world.now)
  }

  /// What has been answered meanwhile. Look-ups whose asker or target has gone don't count, nor those that
  /// the asker could answer itself.
  private func collect(
    _ world: inout World, _ questions: inout [FinishedLookup.Key: Question], _ outcome: inout Outcome,
    _ begin: Instant
  ) {
    for finished in world.takeFinishedLookups() {
      guard let question = questions.removeValue(forKey: finished.key), world[question.target].isUp else {
        continue
      }
      if case .found(_, from: .cache, _) = finished.outcome { continue }
      let sixth = min(5, Int((question.at - begin) / Self.length * 6))
      outcome.attempted += 1
      outcome.sixths[sixth].attempted += 1
      guard case .found(_, _, let took) = finished.outcome else { continue }
      outcome.found += 1
      outcome.sixths[sixth].found += 1
      outcome.times.append(took)
    }
  }
}
