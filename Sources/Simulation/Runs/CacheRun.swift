import MeshNode
import MeshWire

/// How often a light node knows the answer itself: nodes with tables of 100 that look others up for an hour
/// while a backbone answers.
public struct CacheRun: Sendable {
  /// Whom the nodes look for.
  public enum Popularity: Sendable, Hashable {
    /// Anyone, evenly.
    case uniform
    /// The i-th most popular in proportion to 1/i.
    case zipf
  }

  public let seed: UInt64
  public let founders: Int
  public let popularity: Popularity
  public let askers: Int
  public let lookups: Int

  public init(
    seed: UInt64, founders: Int, popularity: Popularity, askers: Int = 10, lookups: Int = 360
  ) {
    self.seed = seed
    self.founders = founders
    self.popularity = popularity
    self.askers = askers
    self.lookups = lookups
  }

  /// What was seen.
  public struct Outcome: Sendable {
    public var violation: Violation?
    public var attempted = 0
    /// Those whose target was one of the 100 contacts that the table began with.
    public var inTable = 0
    /// Those that the node answered itself: from its table's records, or from what it had learned.
    public var fromCache = 0
    /// The last third of them: how many, and how many it answered itself.
    public var late = (attempted: 0, fromCache: 0)
    public var failed = 0
  }

  static let length = Duration.seconds(3_600)

  /// Plays it.
  public func play() -> Outcome {
    let census = Census(seed: seed, founders: founders)
    var chance = Chance(seed: seed).stream(0x6361_6368)
    var world = World(seed: chance.next())
    world.populate(census)
    let targets = Targets(popularity, count: founders, &chance)
    let nodes = (0..<askers).map { _ in world.host(of: census.honestFounder(&chance)) }
    world.run(.seconds(10))
    let known = nodes.map { Set(world[$0].node.contacts) }
    var outcome = Outcome()
    for round in 0..<lookups where world.monitor.violation == nil {
      for (number, node) in nodes.enumerated() {
        let target = census.peerID(of: targets.next(&chance))
        guard target != world[node].peerID else { continue }
        outcome.attempted += 1
        if known[number].contains(target) { outcome.inTable += 1 }
        _ = world.with(node) { node, now in node.lookUp(target, now: now) }
      }
      world.run(Self.length / lookups)
      for finished in world.takeFinishedLookups() {
        let isLate = round >= lookups - lookups / 3
        if isLate { outcome.late.attempted += 1 }
        switch finished.outcome {
        case .found(_, from: .cache, _):
          outcome.fromCache += 1
          if isLate { outcome.late.fromCache += 1 }
        case .found: break
        default: outcome.failed += 1
        }
      }
    }
    outcome.violation = world.monitor.violation
    return outcome
  }

  /// Draws whom to look for.
  private struct Targets {
    private let count: Int
    /// Sums of the weights; empty when all are alike.
    private var sums: [Double] = []
    /// Members in the order of their popularity.
    private var ranks: [Int] = []

    init(_ popularity: Popularity, count: Int, _ chance: inout Chance) {
      self.count = count
      guard popularity == .zipf else { return }
      ranks = chance.order(of: count)
      var sum = 0.0
      for rank in 1...count {
        sum += 1 / Double(rank)
        sums.append(sum)
      }
    }

    func next(_ chance: inout Chance) -> MemberID {
      guard let total = sums.last else { return MemberID(number: chance.index(below: count)) }
      let place = Double(chance.next() >> 11) * 0x1p-53 * total
      var low = 0
      var high = sums.count - 1
      while low < high {
        let middle = (low + high) / 2
        if sums[middle] < place { low = middle + 1 } else { high = middle }
      }
      return MemberID(number: ranks[low])
    }
  }
}
