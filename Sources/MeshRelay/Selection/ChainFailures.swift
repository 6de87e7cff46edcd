import MeshWire

/// Chains with the entry that failed though their first relay answers: what they have in common says whether
/// it is the entry that drops what it should pass on.
struct ChainFailures {
  /// So many in a row, with no other relay common to all of them, point to the entry.
  static let enough = 3
  /// Failures of circuits that have been counted, so that none counts twice.
  static let remembered = 16

  private struct Count: Equatable {
    let circuit: CircuitNumber
    let blamesFirst: Bool
  }

  private var counted: [Count] = []
  private var row = 0
  private var common: Set<KeyHash> = []
  /// All others that were in chains of this row: no more than there are relays to choose from.
  private(set) var bystanders: Set<KeyHash> = []

  /// Whether the failure of a circuit has not been counted yet, against its first relay or against those
  /// behind it; notes it.
  mutating func isNew(_ circuit: CircuitNumber, blamesFirst: Bool) -> Bool {
    let count = Count(circuit: circuit, blamesFirst: blamesFirst)
    guard !counted.contains(count) else { return false }
    if counted.count >= Self.remembered { counted.removeFirst() }
    counted.append(count)
    return true
  }

  /// One more in the row.
  mutating func note(beside relays: [KeyHash]) {
    common = row == 0 ? Set(relays) : common.intersection(relays)
    bystanders.formUnion(relays)
    row = min(row + 1, Self.enough)
  }

  var pointToEntry: Bool { row >= Self.enough && common.isEmpty }

  /// The row is over: something came through, or chains begin elsewhere.
  mutating func clear() {
    row = 0
    common = []
    bystanders = []
  }
}
