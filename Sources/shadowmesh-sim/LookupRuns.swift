import Charts
import Foundation
import MeshWire
import Simulation

/// Look-ups among thousands of whole nodes: through liars, and how far they go.
extension Runner {
  private struct Setting: Sendable {
    let share: Double
    let paths: Int
    let lies: [Lie]
    let gate: Double
  }

  private var founders: Int { scale.part == 1 ? 10_000 : 500 }

  func lookups() async -> Result {
    var result = Result(figures: [])
    let settings = [
      Setting(share: 0.2, paths: 4, lies: Lie.allCases, gate: 99),
      Setting(share: 0.2, paths: 4, lies: [.besideTarget], gate: 99),
      Setting(share: 0.4, paths: 8, lies: Lie.allCases, gate: 98),
      Setting(share: 0.4, paths: 8, lies: [.besideTarget], gate: 98),
    ]
    let seeds = seeds(scale.part == 1 ? 4 : 1)
    let cases = settings.flatMap { setting in
      seeds.map { seed in
        LookupRun(
          seed: seed, founders: founders, liarShare: setting.share, paths: setting.paths, lies: setting.lies,
          targets: scale.part == 1 ? 25 : 4)
      }
    }
    let outcomes = await workers.play("lookups", cases) { $0.play() }
    for (number, setting) in settings.enumerated() {
      let mine = outcomes[number * seeds.count..<(number + 1) * seeds.count]
      let rates = mine.map { 100 * Double($0.found) / Double(max(1, $0.attempted)) }
      let attempted = mine.reduce(0) { $0 + $1.attempted }
      let found = mine.reduce(0) { $0 + $1.found }
      let kind = setting.lies.count > 1 ? "lies of every kind" : "ground keys beside the target"
      let times = mine.flatMap(\.times).sorted()
      let name = "\(founders) nodes, \(Int(setting.share * 100)) % liars, d = \(setting.paths), \(kind)"
      result.figures += [
        Figure(
          "\(name): found", 100 * Double(found) / Double(max(1, attempted)), "%", .atLeast(setting.gate),
          range: (rates.min() ?? 0)...(rates.max() ?? 0)),
        Figure("\(name): look-ups", Double(attempted), ""),
        Figure("\(name): 99 of 100 within", Self.seconds(times, at: 0.99), "s"),
      ]
    }
    note(.lookups, zip(cases, outcomes).map { ($0.seed, $1.violation) }, &result)
    result.figures += await eclipse(&result)
    if scale.part == 1 { result.curves.append(await successCurve(&result)) }
    return result
  }

  private func eclipse(_ result: inout Result) async -> [Figure] {
    let cases = seeds(scale.part == 1 ? 4 : 1).map { EclipseRun(seed: $0, founders: founders) }
    let outcomes = await workers.play("lookups, one node surrounded", cases) { $0.play() }
    note(.lookups, zip(cases, outcomes).map { ($0.seed, $1.violation) }, &result)
    func share(_ part: (EclipseRun.Outcome) -> (attempted: Int, found: Int)) -> Double {
      let sums = outcomes.map(part).reduce((0, 0)) { ($0.0 + $1.attempted, $0.1 + $1.found) }
      return 100 * Double(sums.1) / Double(max(1, sums.0))
    }
    let count = Double(outcomes.count)
    return [
      Figure(
        "one node surrounded by liars: liars among its 20 nearest",
        Double(outcomes.reduce(0) { $0 + $1.liarsNearest }) / count, ""),
      Figure(
        "one node surrounded by liars: liars in its table",
        Double(outcomes.reduce(0) { $0 + $1.liarsInTable }) / count, ""),
      Figure("one node surrounded by liars: it finds", share(\.byVictim), "%"),
      Figure("one node surrounded by liars: it is found", share(\.forVictim), "%"),
    ]
  }

  /// Success against the share of liars, for one path and for more.
  private func successCurve(_ result: inout Result) async -> Curve {
    let shares = [0, 0.1, 0.2, 0.3, 0.4, 0.5]
    let paths = [1, 4, 8]
    let cases = paths.flatMap { paths in
      shares.map { share in
        LookupRun(
          seed: seed &+ 100, founders: founders, liarShare: share, paths: paths, lies: [.besideTarget],
          targets: 12)
      }
    }
    let outcomes = await workers.play("lookups, the curve", cases) { $0.play() }
    note(.lookups, zip(cases, outcomes).map { ($0.seed, $1.violation) }, &result)
    let series = paths.enumerated().map { number, paths in
      Chart.Series(
        "\(paths) path\(paths == 1 ? "" : "s")",
        pairs: shares.indices.map { index in
          let outcome = outcomes[number * shares.count + index]
          return (100 * shares[index], 100 * Double(outcome.found) / Double(max(1, outcome.attempted)))
        })
    }
    return Curve(
      "lookup-success",
      Chart(
        "Look-ups among \(founders) nodes, some of which lie together",
        x: Chart.Axis("liars, % of the nodes"),
        y: Chart.Axis("found, % of 60 look-ups", range: 0...100), series: series,
        gate: Chart.Gate(98, "gate: 98 % with 8 paths at 40 %")))
  }

  func hops() async -> Result {
    var result = Result(figures: [])
    let sizes = scale.part == 1 ? [300, 1_000, 3_000, 10_000, 30_000, 100_000] : [300, 1_000]
    let seeds = seeds(scale.part == 1 ? 2 : 1)
    let cases = sizes.flatMap { size in
      seeds.map { LookupRun(seed: $0, founders: size, targets: scale.part == 1 ? 20 : 4) }
    }
    let outcomes = await workers.play("hops", cases) { $0.play() }
    var points: [Chart.Point] = []
    for (number, size) in sizes.enumerated() {
      let mine = outcomes[number * seeds.count..<(number + 1) * seeds.count]
      let means = mine.map { Double($0.hops) / Double(max(1, $0.found - $0.known)) }
      let mean = means.reduce(0, +) / Double(means.count)
      let range = (means.min() ?? 0)...(means.max() ?? 0)
      let found = mine.reduce(0) { $0 + $1.found }
      let attempted = mine.reduce(0) { $0 + $1.attempted }
      let times = mine.flatMap(\.times).sorted()
      points.append(Chart.Point(Double(size), mean, band: range))
      result.figures += [
        Figure("\(size) nodes: mean hops", mean, "", size == 10_000 ? .atMost(3) : .none, range: range),
        Figure("\(size) nodes: hops by the theory", Self.expectedHops(size), ""),
        Figure("\(size) nodes: found", 100 * Double(found) / Double(max(1, attempted)), "%"),
        Figure("\(size) nodes: median look-up", Self.seconds(times, at: 0.5), "s"),
      ]
    }
    note(.hops, zip(cases, outcomes).map { ($0.seed, $1.violation) }, &result)
    let theory = stride(from: log2(300), through: log2(100_000), by: 0.25).map { exponent in
      (exp2(exponent), Self.expectedHops(Int(exp2(exponent))))
    }
    result.curves.append(
      Curve(
        "hops",
        Chart(
          "Hops of a look-up with tables of 100", x: Chart.Axis("nodes", .logarithmic),
          y: Chart.Axis("mean hops", range: 0...4),
          series: [
            Chart.Series("simulated", points: points), Chart.Series("theory", .dashed, pairs: theory),
          ], gate: Chart.Gate(3, "gate: 3 at 10,000 nodes"))))
    return result
  }

  /// A far bucket holds c of the 80 contacts that aren't among the nearest 20. Asking the best of them brings
  /// a look-up its bucket's one bit nearer, and as many more as the best of c random identifiers agrees with
  /// the target in; it is over once one of the 20 nearest is reached.
  static func expectedHops(_ nodes: Int) -> Double {
    let bits = log2(Double(nodes) / 20)
    guard bits > 0 else { return 1 }
    let contacts = min(20, 80 / bits)
    let gained = (1...64).reduce(1.0) { $0 + 1 - pow(1 - exp2(-Double($1)), contacts) }
    return max(1, bits / gained)
  }

  static func seconds(_ sorted: [Duration], at share: Double) -> Double {
    guard !sorted.isEmpty else { return 0 }
    return sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))] / .seconds(1)
  }

  func note(_ run: RunName, _ outcomes: [(UInt64, Violation?)], _ result: inout Result) {
    for (seed, violation) in outcomes {
      if let violation { result.failures.append((run, seed, "\(violation)")) }
    }
  }
}
