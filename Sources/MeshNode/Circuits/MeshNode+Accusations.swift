import MeshPaths
import MeshRelay
import MeshWire

/// Circuits to one peer that stood, and carried nothing while the peer was silent: their relays may be to
/// blame, or the peer has gone. Nobody is blamed before another way to the same peer has carried a check.
struct AccusedCircuits {
  struct Accused {
    let circuit: CircuitNumber
    let path: [KeyHash]
    /// For how long something came through it.
    let carried: Duration
  }

  /// In one silence; the oldest give way.
  static let limit = 8

  private(set) var all: [Accused] = []

  mutating func add(_ circuit: CircuitNumber, _ path: [KeyHash], carried: Duration) {
    guard !path.isEmpty, !all.contains(where: { $0.circuit == circuit }) else { return }
    if all.count == Self.limit { all.removeFirst() }
    all.append(Accused(circuit: circuit, path: path, carried: carried))
  }

  mutating func forget() { all = [] }

  /// Whether so many chains from `entry` carried nothing, and have nothing else in common, that one should
  /// begin elsewhere.
  func pointTo(_ entry: KeyHash) -> Bool {
    let others = all.filter { $0.path.count > 1 && $0.path[0] == entry }.map { Set($0.path.dropFirst()) }
    guard others.count >= ChainFailures.enough, let first = others.first else { return false }
    return others.dropFirst().reduce(first) { $0.intersection($1) }.isEmpty
  }

  /// Those that are to blame when a way through `proven` carries: not who carries there, too.
  func guilty(beside proven: [KeyHash]) -> [Accused] {
    all.filter { $0.path.count > 1 || !proven.contains($0.path[0]) }
  }
}

extension MeshNode {
  /// A check of the peer's session was answered on a way that may be another than the silent one.
  mutating func judge(
    _ slot: Int, proven endpoint: Endpoint, wasInDoubt: Bool, wasInUse: Bool, now: Instant
  ) {
    let peer = neighbours.entries[slot].peerID
    guard let accused = relays.wanted[peer]?.accused, !accused.all.isEmpty else { return }
    relays.wanted[peer]?.accused.forget()
    // The way that was silent carries again, or one that was given up too early: the peer was away, or slow.
    let isOfThem = accused.all.contains { Endpoint($0.circuit) == endpoint }
    guard wasInDoubt, !wasInUse, !isOfThem else { return }
    var proven: [KeyHash] = []
    if case .circuit(let circuit) = endpoint.carrier { proven = circuits.path(of: circuit) }
    for one in accused.guilty(beside: proven) {
      chainFailed(one.circuit, one.path, carried: one.carried, now: now)
    }
  }
}
