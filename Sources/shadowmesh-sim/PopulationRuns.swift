import Charts
import Foundation
import MeshWire
import Simulation

/// What becomes of whole networks: churn, a day without backbones, the light table, and what size costs.
extension Runner {
  func churn() async -> Result {
    let isWhole = scale.part == 1
    let cases = seeds(isWhole ? 2 : 1).map {
      ChurnRun(seed: $0, founders: isWhole ? 500 : 60, lookups: isWhole ? 600 : 30)
    }
    let outcomes = await workers.play("churn", cases) { $0.play() }
    let rates = outcomes.map { 100 * Double($0.found) / Double(max(1, $0.attempted)) }
    let attempted = outcomes.reduce(0) { $0 + $1.attempted }
    let found = outcomes.reduce(0) { $0 + $1.found }
    let times = outcomes.flatMap(\.times).sorted()
    let nodes = cases.reduce(0) { $0 + $1.founders }
    let handshakes = outcomes.reduce(0) { $0 + $1.handshakes }
    var result = Result(figures: [
      Figure(
        "half of \(cases[0].founders) nodes replaced in an hour: found",
        100 * Double(found) / Double(max(1, attempted)), "%", .atLeast(99),
        range: (rates.min() ?? 0)...(rates.max() ?? 0)),
      Figure("look-ups for live nodes that the asker had no record of", Double(attempted), ""),
      Figure("look-ups under churn: median", Self.seconds(times, at: 0.5), "s"),
      Figure("look-ups under churn: 99 of 100 within", Self.seconds(times, at: 0.99), "s"),
      Figure("handshakes of a node in an hour of churn", Double(handshakes) / Double(max(1, nodes)), ""),
    ])
    note(.churn, zip(cases, outcomes).map { ($0.seed, $1.violation) }, &result)
    let points = (0..<6).map { sixth in
      let shares = outcomes.map { outcome in
        100 * Double(outcome.sixths[sixth].found) / Double(max(1, outcome.sixths[sixth].attempted))
      }
      let mean = shares.reduce(0, +) / Double(shares.count)
      return Chart.Point(
        Double(sixth * 10 + 5), mean, band: (shares.min() ?? 0)...(shares.max() ?? 0))
    }
    result.curves.append(
      Curve(
        "churn",
        Chart(
          "Look-ups while half of \(cases[0].founders) nodes are replaced in an hour",
          x: Chart.Axis("minutes", range: 0...60), y: Chart.Axis("found, %", range: 90...100.5),
          series: [Chart.Series("look-ups for live nodes", points: points)],
          gate: Chart.Gate(99, "gate: 99 %"))))
    return result
  }

  func outage() async -> Result {
    let isWhole = scale.part == 1
    let cases = seeds(isWhole ? 2 : 1).map {
      OutageRun(seed: $0, hosts: isWhole ? 40 : 12, hours: isWhole ? 24 : 1)
    }
    let outcomes = await workers.play("outage", cases) { $0.play() }
    func share(_ arrived: Int, _ sent: Int) -> Double { 100 * Double(arrived) / Double(max(1, sent)) }
    let asked = outcomes.reduce(0) { $0 + $1.asked.attempted }
    var result = Result(figures: [
      Figure(
        "\(cases[0].hours) h without backbones: packets between peers that arrive",
        share(
          outcomes.reduce(0) { $0 + $1.packets.arrived }, outcomes.reduce(0) { $0 + $1.packets.sent }), "%",
        .atLeast(100)),
      Figure("packets", Double(outcomes.reduce(0) { $0 + $1.packets.sent }), ""),
      Figure(
        "\(cases[0].hours) h without backbones: look-ups that find",
        share(
          outcomes.reduce(0) { $0 + $1.lookups.found }, outcomes.reduce(0) { $0 + $1.lookups.attempted }),
        "%", .atLeast(100)),
      Figure("look-ups", Double(outcomes.reduce(0) { $0 + $1.lookups.attempted }), ""),
      Figure("of which the asker had to ask others", Double(asked), ""),
    ])
    note(.outage, zip(cases, outcomes).map { ($0.seed, $1.violation) }, &result)
    return result
  }

  func lightTable() async -> Result {
    let isWhole = scale.part == 1
    let sizes = isWhole ? [1_000, 10_000, 100_000] : [500]
    let cases = [CacheRun.Popularity.uniform, .zipf].flatMap { popularity in
      sizes.map {
        CacheRun(
          seed: seed, founders: $0, popularity: popularity, askers: isWhole ? 10 : 2,
          lookups: isWhole ? 360 : 30)
      }
    }
    let outcomes = await workers.play("table", cases) { $0.play() }
    var result = Result(figures: [])
    var series: [Chart.Series] = []
    for (number, popularity) in ["uniform", "Zipf"].enumerated() {
      let mine = outcomes[number * sizes.count..<(number + 1) * sizes.count]
      func rates(_ hits: (CacheRun.Outcome) -> (Int, Int)) -> [(Double, Double)] {
        zip(sizes, mine).map { size, outcome in
          let (hit, all) = hits(outcome)
          return (Double(size), 100 * Double(hit) / Double(max(1, all)))
        }
      }
      let table = rates { ($0.inTable, $0.attempted) }
      let cached = rates { ($0.fromCache, $0.attempted) }
      let late = rates { ($0.late.fromCache, $0.late.attempted) }
      for (index, size) in sizes.enumerated() {
        result.figures += [
          Figure("\(size) nodes, \(popularity): the 100 of the table", table[index].1, "%"),
          Figure("\(size) nodes, \(popularity): with what was learned", cached[index].1, "%"),
          Figure("\(size) nodes, \(popularity): the same, last 20 minutes", late[index].1, "%"),
        ]
      }
      series += [
        Chart.Series("\(popularity), table alone", .dashed, pairs: table),
        Chart.Series("\(popularity), with learned records", pairs: late),
      ]
    }
    note(.table, zip(cases, outcomes).map { ($0.seed, $1.violation) }, &result)
    result.curves.append(
      Curve(
        "light-table",
        Chart(
          "Look-ups that a light node answers itself", x: Chart.Axis("nodes", .logarithmic),
          y: Chart.Axis("hits, % of 360 look-ups in an hour", range: 0...100), series: series)))
    return result
  }

  func size() async -> Result {
    let count = scale.part == 1 ? 10_000 : 200
    let clock = ContinuousClock()
    let before = Self.residentBytes
    workers.progress.show("size: \(count) nodes come up")
    var running: ScaleRun.Running?
    let rise = clock.measure { running = ScaleRun(seed: seed, founders: count).start() }
    guard var running else { return Result(figures: []) }
    let bytes = Double(Self.residentBytes - before) / Double(count)
    let eventsBefore = running.world.eventCount
    let seconds = scale.part == 1 ? 30 : 5
    let took = clock.measure { for _ in 0..<seconds { running.runSecond() } }
    let events = Double(running.world.eventCount - eventsBefore)
    let (standing, wanted) = running.sessions
    running.world.inspect()
    var result = Result(figures: [
      Figure("nodes awake at once", Double(count), "", scale.part == 1 ? .atLeast(10_000) : .none),
      Figure("memory of a node with its share of everything", (bytes / 1_024).rounded(), "KiB"),
      Figure("virtual seconds in a real one, on one core", Double(seconds) / (took / .seconds(1)), ""),
      Figure("events in a real second, on one core", (events / (took / .seconds(1))).rounded(), ""),
      Figure("until all are up", rise / .seconds(1), "s"),
      Figure(
        "sessions that stand of those wanted", 100 * Double(standing) / Double(wanted), "%", .atLeast(100)),
    ])
    note(.size, [(seed, running.world.monitor.violation)], &result)
    return result
  }

  /// What the process occupies now.
  private static var residentBytes: Int {
    guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return 0 }
    let pages = text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
    return pages * Int(getpagesize())
  }
}
