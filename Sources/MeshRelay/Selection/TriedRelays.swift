public import MeshWire

/// The relays of the chains that are being built to one place, none of which has answered yet.
public struct TriedRelays: Sendable {
  private var uses: [KeyHash: Int] = [:]
  private let doubted: KeyHash?

  /// - Parameter doubted: an entry that doesn't answer: one attempt through it is enough.
  public init(_ chains: [[KeyHash]] = [], doubted: KeyHash? = nil) {
    for relay in chains.joined() { uses[relay, default: 0] += 1 }
    self.doubted = doubted
  }

  func attempts(with relay: KeyHash) -> Int { uses[relay] ?? 0 }

  func leavesOut(_ relay: KeyHash) -> Bool { relay == doubted && attempts(with: relay) > 0 }
}
