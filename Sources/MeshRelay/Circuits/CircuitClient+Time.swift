public import MeshWire

extension CircuitClient {
  /// When ``advance(to:into:)`` is wanted next. Asked at each turn of the loop.
  public var nextDeadline: Instant? {
    var earliest: Instant?
    for circuit in circuits.values {
      let deadline = self.deadline(of: circuit)
      earliest = min(earliest ?? deadline, deadline)
    }
    return earliest
  }

  private func deadline(of circuit: ClientCircuit) -> Instant {
    switch circuit.state {
    case .agreeing: circuit.begun + RelayLimits.unconfirmed
    case .creating(_, _, let next): next
    case .standing:
      circuit.isOurs
        ? circuit.nextProbe ?? circuit.lastIn + Self.quiet
        : circuit.lastIn + RelayLimits.idle
    }
  }

  /// Says create messages again, asks quiet circuits whether they stand, and ends those that don't.
  public mutating func advance(to now: Instant, into actions: inout [CircuitAction]) {
    for number in all {
      guard let circuit = circuits[number], deadline(of: circuit) <= now else { continue }
      switch circuit.state {
      case .agreeing: lose(number, .timedOut, into: &actions)
      case .creating(let layer, let tries, _):
        guard tries < Self.tries else {
          close(number, .timedOut, into: &actions)
          continue
        }
        circuits[number]?.created = now
        circuits[number]?.state = .creating(
          layer: layer, tries: tries + 1, next: now + Self.firstRepeat * (1 << tries))
        if let endpoint = circuit.entryEndpoint {
          actions.append(.create(circuit: circuit.circuit, layer: layer, to: circuit.entry, at: endpoint))
        }
      case .standing:
        guard circuit.isOurs else {
          lose(number, .idle, into: &actions)
          continue
        }
        guard circuit.probes < Self.probes else {
          close(number, .silent, into: &actions)
          continue
        }
        circuits[number]?.probes += 1
        circuits[number]?.probeSent = circuit.probeSent ?? now
        circuits[number]?.nextProbe = now + circuit.patience
        sendEmpty(number, now: now, into: &actions)
      }
    }
  }

  // MARK: Ends

  /// Closes a circuit and tells the relay.
  public mutating func close(
    _ number: CircuitNumber, _ end: CircuitEnd, into actions: inout [CircuitAction]
  ) {
    guard let circuit = circuits[number] else { return }
    if case .agreeing = circuit.state {
    } else {
      actions.append(
        .close(
          circuit: circuit.circuit, end == .silent || end == .timedOut ? .closed : end,
          to: circuit.entry.peerID))
    }
    lose(number, end, into: &actions)
  }

  /// A neighbour has closed a circuit. Returns whether it was one that ends here.
  public mutating func closed(
    _ circuit: UInt32, _ end: CircuitEnd, by neighbour: PeerID, into actions: inout [CircuitAction]
  ) -> Bool {
    guard let number = links[CircuitLink(neighbour: neighbour, circuit: circuit)] else { return false }
    lose(number, end, into: &actions)
    return true
  }

  /// The session with a neighbour has ended, or never came about: so do the circuits through it.
  public mutating func lost(
    _ neighbour: PeerID, _ end: CircuitEnd = .broken, into actions: inout [CircuitAction]
  ) {
    for number in all where circuits[number]?.entry.peerID == neighbour {
      lose(number, end, into: &actions)
    }
  }

  mutating func lose(_ number: CircuitNumber, _ end: CircuitEnd, into actions: inout [CircuitAction]) {
    guard let circuit = circuits.removeValue(forKey: number) else { return }
    let link = CircuitLink(neighbour: circuit.entry.peerID, circuit: circuit.circuit)
    if links[link] == number { links[link] = nil }
    actions.append(
      .lost(number, end, path: circuit.path.map(\.keyHash), carried: circuit.carried))
  }
}
