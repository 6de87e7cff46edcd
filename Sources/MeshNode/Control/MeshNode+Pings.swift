import MeshSession
public import MeshWire

/// Pings that wait for a session or for their answer.
struct PingTable {
  static let timeout: Duration = .seconds(10)

  struct Waiting {
    let id: PingID
    let peer: PeerID
    let startedAt: Instant
    /// Whether a session had to be opened for it.
    let neededHandshake: Bool
    var isSent = false
  }
  var waiting: [Waiting] = []
}

extension MeshNode {
  /// Opens a session if need be and measures the round trip inside it. Ends in `.pingFinished`.
  public mutating func ping(_ peer: PeerID, now: Instant) -> PingID {
    carryWall(to: now)
    let id = PingID(number: takeNumber())
    guard let slot = neighbours.slot(peer), neighbours.entries[slot].isPeer,
      pings.waiting.count < NodeLimits.pings
    else {
      emit(.pingFinished(id, .unknownPeer))
      return id
    }
    let isConnected = neighbours.entries[slot].isConnected
    pings.waiting.append(
      PingTable.Waiting(id: id, peer: peer, startedAt: now, neededHandshake: !isConnected))
    if isConnected {
      sendWaitingPings(slot, now: now)
    } else {
      neighbours.entries[slot].retryAt = nil
      connect(slot, urgent: true, now: now)
    }
    return id
  }

  mutating func sendWaitingPings(_ slot: Int, now: Instant) {
    let peer = neighbours.entries[slot].peerID
    for position in pings.waiting.indices
    where pings.waiting[position].peer == peer && !pings.waiting[position].isSent {
      guard let request = requests.add(.ping(pings.waiting[position].id), to: peer, now: now) else { return }
      pings.waiting[position].isSent = true
      sendControl(.ping(request), slot: slot, now: now)
    }
  }

  mutating func pongArrived(_ id: PingID, roundTrip: Duration, slot: Int) {
    guard let position = pings.waiting.firstIndex(where: { $0.id == id }) else { return }
    let ping = pings.waiting.remove(at: position)
    let neighbour = neighbours.entries[slot]
    guard let path = pathStatus(neighbour) else { return }
    emit(
      .pingFinished(
        id,
        .answered(
          roundTrip: roundTrip, handshake: ping.neededHandshake ? neighbour.handshakeTook : nil, path: path,
          peerAddedUs: neighbour.addedUs ?? false)))
  }

  mutating func expirePings(now: Instant) {
    for ping in pings.waiting where now - ping.startedAt >= PingTable.timeout {
      let tried = neighbours.slot(ping.peer).map { neighbours.entries[$0].candidates.map(\.endpoint) } ?? []
      emit(.pingFinished(ping.id, .noAnswer(tried: tried)))
    }
    pings.waiting.removeAll { now - $0.startedAt >= PingTable.timeout }
  }

  /// No session came about.
  mutating func failPings(of peer: PeerID, slot: Int) {
    let tried = neighbours.entries[slot].candidates.map(\.endpoint)
    for ping in pings.waiting where ping.peer == peer && !ping.isSent {
      emit(
        .pingFinished(
          ping.id,
          tried.isEmpty
            ? .notFound("no record of it was found, so its address is unknown") : .noAnswer(tried: tried)))
    }
    pings.waiting.removeAll { $0.peer == peer && !$0.isSent }
  }
}
