import MeshWire
import Simulation

extension Runner {
  /// Two peers behind translators, with relays and a backbone, and one event each.
  func ladder() async -> Result {
    let seeds = seeds(scale.of(2_000))
    let outcomes = await workers.play("ladder", seeds) { LadderCase(seed: $0).play() }
    let possible = outcomes.filter(\.canBeDirect)
    let met = outcomes.count { $0.firstByte != nil }
    let direct = possible.count(where: \.isDirect)
    let quick = possible.count { $0.firstByte.map { $0 <= .seconds(1) } ?? false }
    let stalls = outcomes.map { $0.longestStall / .seconds(1) }
    let worst = stalls.max() ?? 0
    let short = outcomes.count { $0.longestStall < .seconds(5) }
    var result = Result(figures: [
      Figure("pairs behind NATs", Double(outcomes.count), "cases"),
      Figure("pairs behind NATs: connected", share(met, outcomes.count), "%", .atLeast(100)),
      Figure(
        "pairs whose NATs can be punched: direct at the end", share(direct, possible.count), "%",
        .atLeast(100)),
      Figure("pairs whose NATs can be punched: first packet within 1 s", share(quick, possible.count), "%"),
      Figure(
        "events while they talk: nothing arrives for 5 s at most", share(short, outcomes.count), "%",
        .atLeast(99)),
      Figure("events while they talk: longest silence", worst, "s"),
      Figure(
        "ladder: invariants broken", Double(outcomes.count { $0.violation != nil }), "cases", .atMost(0)),
    ])
    for (number, outcome) in zip(seeds, outcomes) {
      if let violation = outcome.violation {
        result.failures.append((.ladder, number, "\(violation); \(outcome.story)"))
      } else if outcome.firstByte == nil {
        result.failures.append((.ladder, number, "never met; \(outcome.story)"))
      } else if outcome.canBeDirect, !outcome.isDirect {
        result.failures.append((.ladder, number, "not direct; \(outcome.story)"))
      } else if outcome.longestStall >= .seconds(5) {
        result.allowed.append((.ladder, number, "silent for \(outcome.longestStall); \(outcome.story)"))
      }
    }
    return result
  }

  private func share(_ part: Int, _ whole: Int) -> Double { 100 * Double(part) / Double(max(1, whole)) }
}
