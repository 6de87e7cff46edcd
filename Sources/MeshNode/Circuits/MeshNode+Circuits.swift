import MeshCrypto
import MeshPaths
import MeshRelay
import MeshSession
import MeshWire

extension MeshNode {
  /// Relays on the way of a circuit.
  func hops(of circuit: CircuitNumber) -> Int { circuits.hops(of: circuit) ?? 1 }

  // MARK: Cells out

  /// Puts a datagram into a circuit.
  mutating func sendThrough(_ circuit: CircuitNumber, _ datagram: Span<UInt8>) {
    var cell = [UInt8](repeating: 0, count: CellLayout.cellSize)
    var span = cell.mutableSpan
    switch circuits.seal(datagram, circuit, into: &span, now: latest) {
    case .success(let entry): _ = send(cell: cell.span, to: entry, now: latest)
    case .failure: counters.count(.cellRefused)
    }
  }

  /// Sends a cell inside the session with a neighbour. Returns whether there was one.
  mutating func send(cell: Span<UInt8>, to peerID: PeerID, now: Instant) -> Bool {
    guard let slot = neighbours.slot(peerID),
      let endpoint = neighbours.entriesInPlace[slot].current?.endpoint,
      // A chain within a chain would have no end.
      !endpoint.isCircuit
    else {
      counters.count(.noSession)
      return false
    }
    neighbours.deadlines.touch(slot)
    neighbours.entriesInPlace[slot].lastUsed = now
    neighbours.entriesInPlace[slot].paths.sent(now: now)
    var output = [UInt8](repeating: 0, count: cell.count + 2 * Layout.pieceOverhead)
    var span = output.mutableSpan
    let sealed = neighbours.entriesInPlace[slot].current!.session.seal(cell: cell, into: &span, now: now)
    switch sealed {
    case .one(let count):
      neighbours.entriesInPlace[slot].bytesOut += UInt64(count)
      output.removeLast(output.count - count)
      emit(.send(output, to: endpoint))
    case .two(let first, let second):
      neighbours.entriesInPlace[slot].bytesOut += UInt64(first + second)
      emit(.send(Array(output[..<first]), to: endpoint))
      emit(.send(Array(output[first..<first + second]), to: endpoint))
    case .refused:
      counters.count(.noSession)
      return false
    }
    return true
  }

  // MARK: Cells in

  /// Takes a cell out of a neighbour's session: it goes on, or ends here.
  mutating func receiveCell(
    _ cell: inout MutableSpan<UInt8>, from source: Endpoint, slot: Int, now: Instant
  ) -> Received {
    guard !source.isCircuit, let keyHash = neighbours.entriesInPlace[slot].keyHash else {
      return drop(.cellRefused)
    }
    neighbours.entriesInPlace[slot].lastUsed = now
    if relay != nil {
      switch relay!.relay(&cell, from: keyHash.peerID, of: relayPrefix(of: source), now: now) {
      case .forward(let next):
        guard send(cell: cell.span, to: next, now: now) else { return .dropped(.noSession) }
        return .consumed
      case .dropped(let reason): return drop(DropReason(reason))
      case .notRelayed: break
      }
    }
    let content = circuits.open(
      &cell, from: keyHash, reservedThere: relays.isHeld(keyHash), now: now, into: &circuitActions)
    if !circuitActions.isEmpty { performCircuitActions(now) }
    switch content {
    case .datagram(let circuit, let range):
      var datagram = Array(copying: cell.span.extracting(range))
      var span = datagram.mutableSpan
      let received = receive(&span, from: Endpoint(circuit), now: now)
      if case .packet(let inner) = received {
        emit(.deliver(Array(datagram[inner])))
        return .consumed
      }
      return received
    case .handled: return .consumed
    case .dropped(let reason):
      if reason == .unknownCircuit, relays.unknownBudget.take(now: now) {
        sendControl(.circuitClosed(CellLayout.circuit(of: cell.span), .closed), slot: slot, now: now)
      }
      return drop(DropReason(reason))
    }
  }

  // MARK: What the two halves want

  mutating func performCircuitActions(_ now: Instant) {
    while !circuitActions.isEmpty {
      let pending = circuitActions
      circuitActions.removeAll(keepingCapacity: true)
      for action in pending { perform(action, now) }
    }
  }

  private mutating func perform(_ action: CircuitAction, _ now: Instant) {
    switch action {
    case .compute(let circuit, let hop, let job): compute(job, for: .circuit(circuit, hop: hop))
    case .create(let circuit, let layer, let relay, let endpoint):
      if !reachRelay(relay, at: endpoint, with: .createCircuit(circuit, layer: layer), now: now) {
        circuits.lost(relay.peerID, .unreachable, into: &circuitActions)
      }
    case .send(let cell, let peerID): _ = send(cell: cell.span, to: peerID, now: now)
    case .close(let circuit, let end, let peerID): tell(.circuitClosed(circuit, end), to: peerID, now: now)
    case .ready(let circuit, let hops, let took): stood(circuit, hops: hops, took: took, now: now)
    case .lost(let circuit, let end, let path, let carried):
      ended(circuit, end, path: path, carried: carried, now: now)
    case .measured(let circuit, let roundTrip):
      relays.selection.carried(circuits.path(of: circuit))
      if hops(of: circuit) == 1, let relay = circuits.path(of: circuit).first {
        relays.selection.measured(relay, roundTrip)
      }
    }
  }

  /// Says something to a neighbour that there is a session with.
  mutating func tell(_ message: ControlMessage, to peerID: PeerID, now: Instant) {
    guard let slot = neighbours.slot(peerID), neighbours.entries[slot].isConnected else { return }
    sendControl(message, slot: slot, now: now)
  }

  /// Says something to a relay, once there is a session with it. Returns whether there may be one.
  mutating func reachRelay(
    _ relay: KeyHash, at endpoint: Endpoint, with message: ControlMessage, now: Instant
  ) -> Bool {
    let slot: Int
    if let known = neighbours.slot(relay.peerID) {
      if let pinned = neighbours.entries[known].pinned, pinned != relay { return false }
      slot = known
      if neighbours.entries[known].keyHash == nil { neighbours.entries[known].keyHash = relay }
    } else {
      guard relay != own.keyHash, mayDial(endpoint), hasRoomToDial(now: now) else {
        counters.count(.tableFull)
        return false
      }
      slot = neighbours.add(Neighbour(peerID: relay.peerID, now: now))
      neighbours.entries[slot].keyHash = relay
    }
    if !neighbours.entries[slot].isConnected, mayDial(endpoint) {
      neighbours.entries[slot].addCandidate(endpoint, .record)
    }
    sendControl(message, slot: slot, now: now)
    connect(slot, urgent: true, now: now)
    return true
  }

  /// A neighbour has closed a circuit: one that passes here, or one that ends here.
  mutating func circuitClosed(_ circuit: UInt32, _ end: CircuitEnd, slot: Int, now: Instant) {
    let peerID = neighbours.entries[slot].peerID
    var actions: [RelayAction] = []
    if relay?.closed(circuit, end, by: peerID, into: &actions) ?? false { return perform(actions, now: now) }
    _ = circuits.closed(circuit, end, by: peerID, into: &circuitActions)
    performCircuitActions(now)
  }

  /// The session with a neighbour is over, or did not come about: so is every circuit over it.
  mutating func circuitsLost(with peerID: PeerID, _ end: CircuitEnd, now: Instant) {
    var actions: [RelayAction] = []
    relay?.lost(peerID, end, into: &actions)
    perform(actions, now: now)
    circuits.lost(peerID, end, into: &circuitActions)
    performCircuitActions(now)
    placeLost(with: peerID, now: now)
  }

  // MARK: Time

  var circuitDeadline: Instant? {
    if !relays.lost.isEmpty { return latest }
    var earliest = relay?.nextDeadline
    for deadline in [circuits.nextDeadline, relays.nextReservationLook] {
      if let deadline { earliest = min(earliest ?? deadline, deadline) }
    }
    for wanted in relays.wanted.values {
      if wanted.mustTell { return latest }
      let awaited = wanted.circuit == nil ? wanted.next : wanted.proveBy
      let deadline = min(awaited ?? wanted.until, wanted.until)
      earliest = min(earliest ?? deadline, deadline)
    }
    return earliest
  }

  mutating func advanceCircuits(to now: Instant) {
    for (peerID, end) in relays.takeLost() { circuitsLost(with: peerID, end, now: now) }
    var actions: [RelayAction] = []
    relay?.advance(to: now, into: &actions)
    perform(actions, now: now)
    circuits.advance(to: now, into: &circuitActions)
    performCircuitActions(now)
    advanceWants(to: now)
    if let look = relays.nextReservationLook, look <= now { lookAtReservations(now: now) }
  }
}

extension Endpoint {
  var isCircuit: Bool { if case .circuit = carrier { true } else { false } }
}

extension DropReason {
  init(_ reason: CellDrop) {
    self =
      switch reason {
      case .malformed, .unknownCircuit, .tooLarge, .notStanding: .cellRefused
      case .replayed, .unauthenticated: .cellForged
      case .overRate, .exhausted: .relayLimit
      }
  }
}
