import MeshWire
import Simulation

extension Runner {
  /// Each attack from many seeds; whoever hoards costs the most to play.
  func attacks() async -> Result {
    var result = Result(figures: [])
    let kinds = AttackRun.Attack.allCases
    for (kind, attack) in kinds.enumerated() {
      let isCostly = attack == .hoarding || attack == .everything
      let numbers = seeds(isCostly ? scale.of(6) : max(2, scale.of(500))).map {
        $0 * UInt64(kinds.count) + UInt64(kind)
      }
      let outcomes = await workers.play("attacks: \(attack.rawValue)", numbers) { AttackRun($0).play() }
      result.figures += judged(attack, outcomes)
      for (number, outcome) in zip(numbers, outcomes) {
        if let violation = outcome.violation {
          result.failures.append((.attacks, number, "\(violation); \(outcome.story)"))
        } else if !outcome.isConnected {
          result.failures.append((.attacks, number, "not connected after the attack; \(outcome.story)"))
        }
      }
    }
    return result
  }

  private func judged(_ attack: AttackRun.Attack, _ outcomes: [AttackRun.Outcome]) -> [Figure] {
    let name = "attack by \(attack.rawValue)"
    let pairs = outcomes.reduce(0) { $0 + $1.pairs }
    let inTime = outcomes.reduce(0) { $0 + $1.inTime }
    let (said, heard) = outcomes.reduce(into: (0, 0)) {
      $0.0 += $1.said
      $0.1 += $1.heard
    }
    let times = outcomes.flatMap(\.took).compactMap { $0 }.sorted()
    var figures = [
      Figure("\(name): honest pairs", Double(pairs), "pairs"),
      Figure(
        "\(name): invariants broken", Double(outcomes.count { $0.violation != nil }), "cases", .atMost(0)),
      Figure(
        "\(name): connected within 10 s", 100 * Double(inTime) / Double(max(1, pairs)), "%", .atLeast(99)),
      Figure("\(name): median", times.isEmpty ? 0 : times[times.count / 2] / .seconds(1), "s"),
      Figure(
        "\(name): not connected after it", Double(outcomes.count { !$0.isConnected }), "cases", .atMost(0)),
      Figure("\(name): packets that arrived", 100 * Double(heard) / Double(max(1, said)), "%"),
      Figure("\(name): forged datagrams", Double(outcomes.reduce(0) { $0 + $1.forged }), "datagrams"),
    ]
    let reflected = outcomes.map { Double($0.reflected) / Double(max(1, $0.received)) }.max() ?? 0
    if reflected > 0 {
      figures.append(Figure("\(name): bytes reflected for one received", reflected, "", .atMost(3)))
    }
    let most = outcomes.map(\.mostHalfOpens).max() ?? 0
    let left = outcomes.map(\.halfOpensAfter).max() ?? 0
    figures += [
      Figure("\(name): most half-opens held", Double(most), "", .atMost(1_024)),
      Figure("\(name): half-opens left after it", Double(left), "", .atMost(0)),
    ]
    return figures
  }
}
