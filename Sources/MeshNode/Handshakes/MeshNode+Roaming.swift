import MeshPaths
import MeshSession
import MeshWire

extension MeshNode {
  /// A session's peer may be somewhere else: it is asked there, with bytes that nobody can guess.
  mutating func challenge(
    _ slot: Int, current: Bool, at endpoint: Endpoint, received: Int, now: Instant
  ) {
    guard current, mayDial(endpoint) else { return counters.count(.challengeHeld) }
    let bytes = random.bytes(8)
    neighbours.entries[slot].current?.session.challenge(
      endpoint, bytes: bytes, received: received, now: now, into: &sessionActions)
  }

  /// A session's peer has shown that it is there now.
  mutating func moved(_ slot: Int, to endpoint: Endpoint, now: Instant) {
    neighbours.entries[slot].current?.endpoint = endpoint
    neighbours.entries[slot].current?.origin = .moved
    if let limit = pathLimit(slot, to: endpoint) {
      neighbours.entries[slot].current?.session.pathChanged(limit: limit, now: now, into: &sessionActions)
    }
    neighbours.entries[slot].addCandidate(endpoint, .lastUsed)
    neighbours.entries[slot].paths.moved(to: endpoint, pathKind(of: endpoint), now: now)
    // A handshake begun because its old address had fallen silent would ask there in vain.
    neighbours.entries[slot].attempt?.aim(at: endpoint)
    counters.peersMoved += 1
    let neighbour = neighbours.entries[slot]
    if neighbour.isPeer { emit(.peerMoved(neighbour.peerID, endpoint)) }
    if let keyHash = neighbour.keyHash { meet(keyHash, endpoint, now: now) }
    if let slot = neighbours.slot(neighbour.peerID) { advancePaths(slot, now: now) }
  }
}
