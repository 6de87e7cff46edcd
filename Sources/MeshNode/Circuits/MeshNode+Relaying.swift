import MeshCrypto
package import MeshRelay
public import MeshWire

extension MeshNode {
  /// A public node with an offer begins to relay, as soon as its onion key is there.
  mutating func beginRelaying(offer: UInt32, now: Instant) {
    guard offer > 0, configuration.serviceType == .lightPublic else { return }
    relay = RelayServer(
      own: own.keyHash, limits: RelayLimits(offer: offer),
      permitsLoopback: configuration.permitsLoopback, now: now)
    makeOnionKeyIfDue()
  }

  /// What this node relays for others from here on, in Mbit/s. Of a public node only.
  public mutating func setRelayOffer(_ offer: UInt32, now: Instant) {
    guard configuration.serviceType == .lightPublic else { return }
    if relay == nil { beginRelaying(offer: offer, now: now) } else { relay?.setOffer(offer, now: now) }
  }

  /// A new onion key each week; the one before stays good.
  mutating func makeOnionKeyIfDue() {
    let week = RelayAnnouncement.week(of: wall)
    guard let relay, !isMakingOnionKey, relay.announcedKey?.week != week else { return }
    isMakingOnionKey = true
    compute(.makeOffer, for: .onionKey)
  }

  mutating func onionKeyMade(_ result: CryptoResult, _ now: Instant) {
    isMakingOnionKey = false
    guard case .offer(let secret) = result else { return }
    let week = RelayAnnouncement.week(of: wall)
    relay?.add(onionKey: secret, week: week)
    emit(.onionKeyMade(secret.offer, week: week))
  }

  /// What this node has relayed for others; `nil` when it offers nothing.
  package var relayCounters: RelayCounters? { relay?.counters }

  /// Circuits that pass here now.
  package var relayedCircuits: Int { relay?.circuitCount ?? 0 }

  /// Whether this neighbour may be served: of the class that the owner chose, and not itself behind relays.
  private func isServed(_ slot: Int) -> Bool {
    let neighbour = neighbours.entries[slot]
    guard let live = neighbour.current, !live.endpoint.isCircuit else { return false }
    return configuration.relayAdmission == .all || neighbour.isPeer
  }

  /// A neighbour's network, by which its share is counted.
  private func relayPrefix(_ slot: Int) -> IPAddress? {
    neighbours.entries[slot].current.flatMap { relayPrefix(of: $0.endpoint) }
  }

  /// The network that limits and shares go by; `nil` for loopback in tests.
  func relayPrefix(of endpoint: Endpoint) -> IPAddress? {
    let address = endpoint.address
    return configuration.permitsLoopback && address.isLoopback ? nil : address.limitPrefix
  }

  mutating func serveReservation(_ id: ControlMessage.RequestID, slot: Int, now: Instant) {
    let peerID = neighbours.entries[slot].peerID
    var grant: ReservationGrant?
    if isServed(slot) {
      let prefix = relayPrefix(slot)
      let fresh = random.bytes(16)
      grant = relay?.reserve(for: peerID, prefix: prefix, fresh: fresh, now: now)
    }
    if grant == nil { counters.count(.relayRefused) }
    neighbours.entries[slot].isKept = neighbours.entries[slot].isKept || grant != nil
    sendControl(.reserved(id, grant), slot: slot, now: now)
  }

  mutating func serveCreate(_ circuit: UInt32, _ layer: [UInt8], slot: Int, now: Instant) {
    guard relay != nil, isServed(slot), let keyHash = neighbours.entries[slot].keyHash else {
      counters.count(.relayRefused)
      return sendControl(.circuitClosed(circuit, .notAdmitted), slot: slot, now: now)
    }
    let prefix = relayPrefix(slot)
    var actions: [RelayAction] = []
    let outcome = relay!.create(circuit, layer, from: keyHash, prefix: prefix, now: now, into: &actions)
    switch outcome {
    case .compute(let ticket, let job): compute(job, for: .create(ticket))
    case .repeated: perform(actions, now: now)
    case .refused(let end):
      counters.count(.relayRefused)
      sendControl(.circuitClosed(circuit, end), slot: slot, now: now)
    }
  }

  mutating func createComputed(_ ticket: CreateTicket, _ result: CryptoResult, _ now: Instant) {
    let number = UInt32(truncatingIfNeeded: random.next())
    var actions: [RelayAction] = []
    let neighbours = neighbours
    relay?.computed(
      ticket, result, random: number, now: now, wall: wall,
      holder: { peerID in
        neighbours.slot(peerID).flatMap {
          neighbours.entriesInPlace[$0].current == nil ? nil : neighbours.entriesInPlace[$0].keyHash
        }
      }, into: &actions)
    perform(actions, now: now)
  }

  mutating func perform(_ actions: [RelayAction], now: Instant) {
    for action in actions {
      switch action {
      case .send(let cell, let peerID): _ = send(cell: cell.span, to: peerID, now: now)
      case .close(let circuit, let end, let peerID):
        tell(.circuitClosed(circuit, end), to: peerID, now: now)
      case .extend(let relay, let endpoint, let circuit, let layer):
        if !reachRelay(relay, at: endpoint, with: .createCircuit(circuit, layer: layer), now: now) {
          var more: [RelayAction] = []
          _ = self.relay?.closed(circuit, .unreachable, by: relay.peerID, into: &more)
          perform(more, now: now)
        }
      }
    }
  }
}
