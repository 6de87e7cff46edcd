import Kademlia
import MeshWire
import RepeatableRandom

/// Nodes with light tables, some of which collude. No network: answers come one by one, 10 ms apart.
struct LiarNetwork {
  /// What a colluder answers.
  enum Lie: CaseIterable {
    /// Fellows whose keys were ground until their identifiers lay beside the target.
    case besideTarget
    /// Fellows with any identifiers.
    case anywhere
    /// The true contacts, somewhere else.
    case falseEndpoints
    case silence
  }

  struct Outcome {
    /// Whether someone was asked who has the target's record.
    var found = false
    /// Nodes on the way to it, itself included.
    var hops = 0
    var queries = 0
    var result: LookupResult?
  }

  /// In the order of their PeerIDs, so that near neighbours stand side by side.
  let nodes: [Contact]
  let colluding: Set<PeerID>
  private let lies: [Lie]
  /// Strangers that each node has met, and neighbours on either side of it.
  private let strangers = 240
  private let neighbours = 40
  private var tables: [PeerID: RoutingTable] = [:]
  private var random: SplitMix64

  init(count: Int, colluders: Double, lies: [Lie] = Lie.allCases, seed: UInt64) {
    var random = SplitMix64(seed: seed)
    nodes = (0..<count).map { _ in random.contact() }.sorted { $0.peerID < $1.peerID }
    colluding = Set(nodes.filter { _ in Double.random(in: 0..<1, using: &random) < colluders }.map(\.peerID))
    self.lies = lies
    self.random = random
  }

  /// A node's table, as it is long after the start: the neighbourhood is known, of the rest a sample.
  mutating func table(of index: Int) -> RoutingTable {
    let own = nodes[index].peerID
    if let table = tables[own] { return table }
    var table = RoutingTable(own: own, now: .start)
    for _ in 0..<strangers { _ = table.insert(nodes.randomElement(using: &random)!, now: .start) }
    for other in max(0, index - neighbours)..<min(nodes.count, index + neighbours) where other != index {
      _ = table.insert(nodes[other], now: .start)
    }
    tables[own] = table
    return table
  }

  mutating func honestIndex() -> Int {
    while true {
      let index = Int.random(in: nodes.indices, using: &random)
      if !colluding.contains(nodes[index].peerID) { return index }
    }
  }

  func index(of peerID: PeerID) -> Int? {
    var low = 0
    var high = nodes.count
    while low < high {
      let middle = (low + high) / 2
      if nodes[middle].peerID < peerID { low = middle + 1 } else { high = middle }
    }
    return low < nodes.count && nodes[low].peerID == peerID ? low : nil
  }

  func honestNearest(to target: PeerID, count: Int, near index: Int) -> [PeerID] {
    nodes[max(0, index - 200)..<min(nodes.count, index + 200)].map(\.peerID)
      .filter { $0 != target && !colluding.contains($0) }
      .sorted { $0.distance(to: target) < $1.distance(to: target) }.prefix(count).map { $0 }
  }

  /// One look-up. It succeeds when one of `holders` answers.
  mutating func lookUp(
    _ target: PeerID, from asker: Int, holders: Set<PeerID>, limits: DisjointLookup.Limits
  ) -> Outcome {
    let own = nodes[asker].peerID
    let table = table(of: asker)
    var lookup = DisjointLookup(
      target: target, own: own, seeds: table.closest(to: target, count: limits.seeds).map(\.hint),
      limits: limits, now: .start)
    var now = Instant.start
    var depths: [PeerID: Int] = [:]
    var outcome = Outcome()
    /// Answers on their way, in the order of the questions.
    var arriving: [(from: PeerID, hints: [ContactHint])] = []
    while true {
      switch lookup.next(now: now) {
      case .waiting(let until):
        guard !arriving.isEmpty else {
          now = until
          continue
        }
        let (from, hints) = arriving.removeFirst()
        now = now + .milliseconds(10)
        lookup.answered(from: from, hints: hints, now: now)
      case .finished(let result):
        outcome.result = result
        return outcome
      case .query(let asked):
        outcome.queries += 1
        let depth = depths[asked.peerID, default: 0] + 1
        guard let hints = answer(to: target, from: asked) else { continue }
        if holders.contains(asked.peerID) {
          lookup.stop()
          outcome.found = true
          outcome.hops = depth
          return outcome
        }
        for hint in hints where depths[hint.peerID] == nil { depths[hint.peerID] = depth }
        arriving.append((asked.peerID, hints))
      }
    }
  }

  /// `nil` when nobody is there, or nobody answers.
  private mutating func answer(to target: PeerID, from asked: ContactHint) -> [ContactHint]? {
    let index = index(of: asked.peerID)
    if let index, !colluding.contains(asked.peerID) {
      guard nodes[index].endpoint == asked.endpoint else { return nil }
      return table(of: index).closest(to: target, count: 20).map(\.hint)
    }
    // A colluder, or one of the keys that they made up.
    switch lies.randomElement(using: &random)! {
    case .silence: return nil
    case .anywhere: return (0..<20).map { _ in random.contact().hint }
    case .besideTarget:
      return (0..<20).map { _ in
        let bucket = Int.random(in: 100..<140, using: &random)
        return random.contact(inBucket: bucket, of: target).hint
      }
    case .falseEndpoints:
      let near = nodes.indices.randomElement(using: &random)!
      return table(of: index ?? near).closest(to: target, count: 20).map {
        ContactHint(keyHash: $0.keyHash, endpoint: random.endpoint(), sequence: $0.sequence)
      }
    }
  }
}

/// How many of some look-ups succeeded, and in how many hops.
struct LiarTally {
  var found = 0
  var hops = 0
  var queries = 0
  var most = 0
  let count: Int

  var rate: Double { Double(found) / Double(count) }
  var meanHops: Double { found == 0 ? 0 : Double(hops) / Double(found) }

  /// Look-ups by honest nodes for honest nodes.
  ///
  /// - Parameter holdersToo: whether the 20 nearest honest nodes have the target's record as well.
  init(
    _ network: inout LiarNetwork, lookups: Int, holdersToo: Bool = false, limits: DisjointLookup.Limits
  ) {
    count = lookups
    for _ in 0..<lookups {
      let asker = network.honestIndex()
      var target = network.honestIndex()
      while target == asker { target = network.honestIndex() }
      let peerID = network.nodes[target].peerID
      let holders = holdersToo ? network.honestNearest(to: peerID, count: 20, near: target) : []
      let outcome = network.lookUp(peerID, from: asker, holders: Set(holders + [peerID]), limits: limits)
      if outcome.found {
        found += 1
        hops += outcome.hops
      }
      queries += outcome.queries
      most = max(most, outcome.queries)
    }
  }
}
