import Synchronization

/// Plays many cases on all cores, and says how far it is.
struct Workers {
  let count: Int
  let progress: ProgressLine

  /// The results in the order of the cases, whoever played them.
  func play<Case: Sendable, Outcome: Sendable>(
    _ name: String, _ cases: [Case], _ body: @escaping @Sendable (Case) -> Outcome
  ) async -> [Outcome] {
    let done = Counter()
    let next = Counter()
    let chunk = max(1, min(200, cases.count / (count * 8)))
    var pieces: [(Int, [Outcome])] = []
    let progress = progress
    await withTaskGroup(of: [(Int, [Outcome])].self) { group in
      for _ in 0..<count {
        group.addTask { @Sendable in
          var mine: [(Int, [Outcome])] = []
          while true {
            let begin = next.add(chunk) - chunk
            guard begin < cases.count else { return mine }
            let outcomes = cases[begin..<min(begin + chunk, cases.count)].map(body)
            mine.append((begin, outcomes))
            let so = done.add(outcomes.count)
            progress.show("\(name): \(so) of \(cases.count)")
          }
        }
      }
      for await mine in group { pieces += mine }
    }
    return pieces.sorted { $0.0 < $1.0 }.flatMap(\.1)
  }
}

/// A number that several tasks add to.
private final class Counter: Sendable {
  private let value = Atomic<Int>(0)

  /// The sum, with what is added now.
  func add(_ amount: Int) -> Int { value.wrappingAdd(amount, ordering: .relaxed).newValue }
}
