import MeshWire

extension MeshNode {
  /// Carries out a request of the control, peer or backbone class, each only for whom it is (protocol.md §6).
  mutating func serveIntroduction(_ message: ControlMessage, slot: Int, now: Instant) {
    switch message {
    case .observe(let id):
      guard let endpoint = neighbours.entries[slot].current?.endpoint, endpoint.carrier == .udp else {
        return
      }
      sendControl(.observed(id, endpoint), slot: slot, now: now)
    default: counters.count(.introductionNotFromPeer)
    }
  }

  mutating func takeObservation(
    _ id: ControlMessage.RequestID, _ endpoint: Endpoint, slot: Int, now: Instant
  ) {
    _ = requests.take(id, from: neighbours.entries[slot].peerID)
  }
}
