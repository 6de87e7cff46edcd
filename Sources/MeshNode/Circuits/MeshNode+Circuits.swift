import MeshWire

extension MeshNode {
  /// Relays on the way of a circuit.
  func hops(of circuit: CircuitNumber) -> Int { 1 }

  /// Wants a way to a peer through relays.
  mutating func wantRelay(_ slot: Int, now: Instant) {}
}
