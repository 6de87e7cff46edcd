import Kademlia
import MeshWire
import RepeatableRandom
import Testing

/// Look-ups through a network whose nodes answer from real routing tables, some never.
@Suite struct SimulatedNetworkTests {
  private struct Network {
    var nodes: [Contact] = []
    var tables: [PeerID: RoutingTable] = [:]
    var silent: Set<PeerID> = []

    /// Every node has met every other, in an order of its own: a network long after its start.
    init(count: Int, silentShare: Double, seed: UInt64) {
      var random = SplitMix64(seed: seed)
      nodes = (0..<count).map { _ in random.contact() }
      for node in nodes {
        var table = RoutingTable(own: node.peerID, now: .start)
        for other in nodes.shuffled(using: &random) { _ = table.insert(other, now: .start) }
        tables[node.peerID] = table
      }
      silent = Set(
        nodes.shuffled(using: &random).prefix(Int(Double(count) * silentShare)).map(\.peerID))
    }

    /// Every live node's silent contacts fail until they are gone, and live ones are met again.
    mutating func notice() {
      for own in nodes.map(\.peerID) where !silent.contains(own) {
        var table = tables[own]!
        while let dead = table.contacts.first(where: { silent.contains($0.peerID) }) {
          _ = table.failed(dead.peerID)
        }
        for other in nodes where !silent.contains(other.peerID) {
          _ = table.insert(other, now: .seconds(60))
        }
        tables[own] = table
      }
    }

    func nearestLive(to target: PeerID, except own: PeerID, count: Int) -> [PeerID] {
      nodes.map(\.peerID).filter { $0 != own && !silent.contains($0) }
        .sorted { $0.distance(to: target) < $1.distance(to: target) }.prefix(count).map { $0 }
    }
  }

  private struct Run {
    var result: LookupResult
    var mostInFlight: Int
    var elapsed: Duration
  }

  /// Live nodes answer 40 ms later; silent ones never do.
  private func run(_ network: Network, from own: PeerID, to target: PeerID) -> Run? {
    let table = network.tables[own]!
    var now = Instant.start
    var lookup = Lookup(
      target: target, own: own, seeds: table.closest(to: target, count: 20).map(\.hint), now: now)
    var arrivals: [(at: Instant, from: PeerID)] = []
    var most = 0
    for _ in 0..<2_000 {
      switch lookup.next(now: now) {
      case .query(let hint):
        most = max(most, lookup.inFlight)
        if !network.silent.contains(hint.peerID) {
          arrivals.append((now + .milliseconds(40), hint.peerID))
        }
      case .waiting(let until):
        #expect(until > now)
        if let first = arrivals.first, first.at <= until {
          arrivals.removeFirst()
          now = first.at
          let hints = network.tables[first.from]!.closest(to: target, count: 20).map(\.hint)
          lookup.answered(from: first.from, hints: hints, now: now)
        } else {
          now = until
        }
      case .finished(let result): return Run(result: result, mostInFlight: most, elapsed: now - .start)
      }
    }
    return nil
  }

  /// What 100 look-ups found, half of them for a live node, half for a point of the identifier space.
  private struct Tally {
    var exact = 0
    /// Of the k nearest live nodes, over all look-ups.
    var recall = 0.0
    var targetsFound = 0
  }

  private func tally(_ network: Network) throws -> Tally {
    let askers = network.nodes.map(\.peerID).filter { !network.silent.contains($0) }
    var random = SplitMix64(seed: 8)
    var tally = Tally()
    for index in 0..<100 {
      let own = askers[index * 4 % askers.count]
      let target = index % 2 == 0 ? askers[(index * 7 + 1) % askers.count] : random.keyHash().peerID
      let run = try #require(self.run(network, from: own, to: target), "did not end")
      #expect(run.mostInFlight <= 3)
      #expect(run.result.counters.queried <= 60)
      #expect(run.elapsed <= .seconds(10))
      let found = run.result.closest.map(\.peerID)
      #expect(!found.contains { network.silent.contains($0) || $0 == own })
      let expected = network.nearestLive(to: target, except: own, count: 20)
      if found == expected { tally.exact += 1 }
      tally.recall += Double(Set(expected).intersection(found).count) / 20 / 100
      if index % 2 == 0, found.first == target || target == own { tally.targetsFound += 1 }
    }
    return tally
  }

  @Test func aLookUpFindsTheNearestOf500Nodes() throws {
    let tally = try tally(Network(count: 500, silentShare: 0, seed: 7))
    #expect(tally.exact == 100)
    #expect(tally.targetsFound == 50)
  }

  /// A fifth of the nodes just went silent and every table is still full of them: the hints about the live
  /// ones are fewer, so the rim of the k nearest may be missed, the target never.
  @Test func aLookUpGetsThroughWhenAFifthOfTheNodesWentSilent() throws {
    let tally = try tally(Network(count: 500, silentShare: 0.2, seed: 7))
    #expect(tally.targetsFound == 50)
    #expect(tally.recall >= 0.9, "recall \(tally.recall)")
  }

  @Test func onceTheTablesHaveNoticedTheSilenceLookUpsAreExactAgain() throws {
    var network = Network(count: 500, silentShare: 0.2, seed: 7)
    network.notice()
    let tally = try tally(network)
    #expect(tally.exact == 100)
    #expect(tally.targetsFound == 50)
  }

  @Test func theSameCallsGiveTheSameRun() throws {
    let network = Network(count: 120, silentShare: 0.2, seed: 9)
    let own = try #require(network.nodes.first { !network.silent.contains($0.peerID) }).peerID
    let target = network.nodes[60].peerID
    let first = try #require(run(network, from: own, to: target))
    let second = try #require(run(network, from: own, to: target))
    #expect(first.result == second.result)
  }

  /// The figure that protocol.md §4 wants reported: 100 contacts are the nearest, not a view of the whole
  /// network.
  @Test func aLightTableOfALargeNetworkReachesSevenBucketsOrSo() {
    var random = SplitMix64(seed: 10)
    let own = random.keyHash().peerID
    var table = RoutingTable(own: own, now: .start)
    let nodes = (0..<10_000).map { _ in random.contact() }
    for node in nodes { _ = table.insert(node, now: .start) }
    #expect(table.count == 100)
    let filled = Set(nodes.compactMap { own.distance(to: $0.peerID).bucketIndex })
    #expect(Set(table.occupancy.map(\.bucket)) == filled)
  }
}
