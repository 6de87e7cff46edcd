import Charts
import MeshWire
import Simulation

/// What can be run by name, and what each run is held to.
enum RunName: String, CaseIterable {
  case handshakes
  case topologies
  case real
  case exhaustive
  case loss
  case flood
  case attacks
  case lookups
  case hops
  case churn
  case outage
  case table
  case size
  case ladder

  var summary: String {
    switch self {
    case .handshakes: "two hosts under every mix of faults, then without"
    case .topologies: "three to five hosts, open, behind one or two NATs or without UDP, under every fault"
    case .real: "two hosts with real cryptography"
    case .exhaustive: "one handshake, every fate of its datagrams within a bound"
    case .loss: "one handshake at 10 % loss and 80 ms there and back"
    case .flood: "a node under ten times the first messages that it could sign for"
    case .attacks: "nodes that connect and talk while somebody forges, replays, hoards and reflects"
    case .lookups: "look-ups among whole nodes, some of which lie together"
    case .hops: "how far look-ups go, by the number of nodes"
    case .churn: "an hour in which half of the nodes are replaced"
    case .outage: "a day in which no backbone answers"
    case .table: "how often a light node knows the answer itself"
    case .ladder: "two peers behind NATs of every kind that talk while uplinks change and relays die"
    case .size: "what a node costs, with all of them awake"
    }
  }
}

/// Plays runs and sums them up.
struct Runner {
  let workers: Workers
  let scale: Scale
  let seed: UInt64

  /// What a run came to.
  struct Result {
    var figures: [Figure]
    /// The seeds (or numbers of cases) that failed, and why.
    var failures: [(run: RunName, number: UInt64, why: String)] = []
    /// Those that a gate allows for, and that are worth a look all the same.
    var allowed: [(run: RunName, number: UInt64, why: String)] = []
    /// What `draw` makes pictures of.
    var curves: [Curve] = []
  }

  func play(_ run: RunName) async -> Result {
    switch run {
    case .handshakes: await handshakes(.handshakes, count: scale.of(95_000), isReal: false)
    case .topologies: await topologies()
    case .real: await handshakes(.real, count: scale.of(1_000), isReal: true)
    case .exhaustive: await exhaustive()
    case .loss: await loss()
    case .flood: await flood()
    case .attacks: await attacks()
    case .lookups: await lookups()
    case .hops: await hops()
    case .churn: await churn()
    case .outage: await outage()
    case .table: await lightTable()
    case .size: await size()
    case .ladder: await ladder()
    }
  }

  func seeds(_ count: Int) -> [UInt64] { (0..<UInt64(count)).map { seed &+ $0 } }

  private func handshakes(_ run: RunName, count: Int, isReal: Bool) async -> Result {
    let seeds = seeds(count)
    let outcomes = await workers.play(run.rawValue, seeds) { HandshakeCase(seed: $0, isReal: isReal).play() }
    let kind = isReal ? "handshakes with real cryptography" : "handshakes under faults"
    var result = Result(figures: judged(kind, outcomes))
    note(run, zip(seeds, outcomes), &result)
    return result
  }

  private func topologies() async -> Result {
    let seeds = seeds(scale.of(5_000))
    let outcomes = await workers.play("topologies", seeds) { TopologyCase(seed: $0).play() }
    var result = Result(figures: judged("handshakes in small topologies", outcomes))
    note(.topologies, zip(seeds, outcomes), &result)
    return result
  }

  private func exhaustive() async -> Result {
    let all = ExhaustiveCase.all
    let numbers = stride(from: 0, to: all.count, by: scale.part).map { UInt64($0) }
    let outcomes = await workers.play("exhaustive", numbers) { all[Int($0)].play() }
    var result = Result(figures: judged("exhaustive cases", outcomes))
    note(.exhaustive, zip(numbers, outcomes), &result)
    return result
  }

  private func judged(_ kind: String, _ outcomes: [HandshakeCase.Outcome]) -> [Figure] {
    let broken = outcomes.count { $0.violation != nil }
    let apart = outcomes.count { $0.violation == nil && !$0.isConnected }
    return [
      Figure("\(kind)", Double(outcomes.count), "cases"),
      Figure("\(kind): invariants broken", Double(broken), "cases", .atMost(0)),
      Figure("\(kind): not connected once faults ended", Double(apart), "cases", .atMost(0)),
    ]
  }

  private func note(
    _ run: RunName, _ outcomes: some Sequence<(UInt64, HandshakeCase.Outcome)>, _ result: inout Result
  ) {
    for (number, outcome) in outcomes {
      if let violation = outcome.violation {
        result.failures.append((run, number, "\(violation); \(outcome.story)"))
      } else if !outcome.isConnected {
        result.failures.append((run, number, "not connected; \(outcome.story)"))
      }
    }
  }

  private func loss() async -> Result {
    var result = Result(figures: [])
    var series: [Chart.Series] = []
    for isPublic in [false, true] {
      let seeds = seeds(scale.of(20_000))
      let outcomes = await workers.play("loss", seeds) {
        LossyHandshake(seed: $0, isPublic: isPublic).play()
      }
      let times = outcomes.map { $0.took ?? .seconds(3_600) }
      let batches = 10
      let size = max(1, times.count / batches)
      let shares = stride(from: 0, to: times.count, by: size).map { begin -> Double in
        let batch = times[begin..<min(begin + size, times.count)]
        return 100 * Double(batch.count { $0 <= .seconds(10) }) / Double(batch.count)
      }
      let share = 100 * Double(times.count { $0 <= .seconds(10) }) / Double(times.count)
      let sorted = times.sorted()
      let name = "handshake at 10 % loss, 80 ms, \(isPublic ? "public" : "private") node"
      result.figures += [
        Figure(
          "\(name): within 10 s", share, "%", .atLeast(99.9), range: (shares.min() ?? 0)...(shares.max() ?? 0)
        ),
        Figure("\(name): median", sorted[sorted.count / 2] / .seconds(1), "s"),
        Figure("\(name): 99.9 of 100 within", sorted[sorted.count * 999 / 1_000] / .seconds(1), "s"),
      ]
      series.append(
        Chart.Series(
          isPublic ? "public node" : "private node", isPublic ? .dashed : .line,
          pairs: (0...100).map { tenth in
            let within = sorted.count { $0 <= .milliseconds(100) * tenth }
            return (Double(tenth) / 10, 100 * Double(within) / Double(sorted.count))
          }))
      for (number, outcome) in zip(seeds, outcomes) {
        if let violation = outcome.violation { result.failures.append((.loss, number, "\(violation)")) }
      }
    }
    let chart = Chart(
      "Handshakes at 10 % loss, 80 ms there and back", x: Chart.Axis("seconds since the first message"),
      y: Chart.Axis("connected by then, % of handshakes", range: 0...100), series: series,
      gate: Chart.Gate(99.9, "gate: 99.9 % within 10 s"))
    result.curves.append(Curve("handshake-time", chart))
    return result
  }

  private func flood() async -> Result {
    let cases = (0..<UInt64(scale.part == 1 ? 6 : 2)).map { number in
      FloodRun(
        seed: seed &+ number, isPublic: number % 2 == 1, honest: scale.part == 1 ? 100 : 10,
        length: scale.part == 1 ? .seconds(10) : .seconds(1))
    }
    let outcomes = await workers.play("flood", cases) { $0.play() }
    let shares = outcomes.map { 100 * Double($0.inTime) / Double(max(1, $0.attempted)) }
    let reflected = outcomes.map { Double($0.reflected) / Double(max(1, $0.received)) }
    let halfOpens = outcomes.map { Double($0.mostHalfOpens) }
    let growth = outcomes.map { Double($0.halfOpensLast - $0.halfOpensMidway) }
    var result = Result(figures: [
      Figure(
        "flood of M1: honest handshakes within 2 s", shares.min() ?? 0, "%", .atLeast(90),
        range: (shares.min() ?? 0)...(shares.max() ?? 0)),
      Figure("flood of M1: bytes reflected for one received", reflected.max() ?? 0, "", .atMost(3)),
      Figure("flood of M1: most half-opens held", halfOpens.max() ?? 0, "", .atMost(1_024)),
      Figure("flood of M1: half-opens more at the end than midway", growth.max() ?? 0, "", .atMost(16)),
    ])
    for (one, outcome) in zip(cases, outcomes) {
      if let violation = outcome.violation { result.failures.append((.flood, one.seed, "\(violation)")) }
    }
    return result
  }
}
