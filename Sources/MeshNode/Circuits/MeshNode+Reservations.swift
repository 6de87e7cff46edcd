import MeshCrypto
import MeshRelay
import MeshWire

extension MeshNode {
  /// Keeps as many places at relays as the owner wants, each renewed at half of its life, at relays that
  /// differ in operator and prefix.
  mutating func lookAtReservations(now: Instant) {
    relays.nextReservationLook = nil
    let wanted = min(configuration.reservations, RecordPrivatePart.reservationLimit)
    guard wanted > 0 else { return }
    for (relay, since) in relays.asking.sorted(by: { $0.key < $1.key })
    where now - since >= RelayBook.askingTime {
      relays.asking[relay] = nil
      relays.selection.brokePromise(relay, now: now)
    }
    for relay in relays.held.keys.sorted() {
      guard let held = relays.held[relay] else { continue }
      let isGivenUp = relays.selection.isResting(relay, now: now) && held.renewAt <= now
      if held.expires <= now || isGivenUp {
        letGo(relay)
      } else if held.renewAt <= now, relays.asking[relay] == nil {
        ask(relay, at: held.reservation.endpoint, now: now)
      }
    }
    let taken = Set(relays.held.keys).union(relays.asking.keys)
    if taken.count < wanted {
      relays.selection.needsStreams = streams.isUDPBlocked == true
      let choices = relays.selection.reservable(
        wanted - taken.count, held: taken.sorted(), avoiding: own.keyHash, now: now)
      if taken.count + choices.count < wanted { relaysRunShort(now: now) }
      for relay in choices { ask(relay.keyHash, at: relay.endpoint, now: now) }
    }
    announceReservations()
    planReservationLook(now: now)
  }

  private mutating func planReservationLook(now: Instant) {
    guard relays.selection.count > 0 || !relays.held.isEmpty else { return }
    // Whoever rests is tried again, and records of relays come and go.
    var next = now + .seconds(15)
    for held in relays.held.values { next = min(next, held.renewAt) }
    for since in relays.asking.values { next = min(next, since + RelayBook.askingTime) }
    relays.nextReservationLook = max(next, now + .milliseconds(500))
  }

  private mutating func ask(_ relay: KeyHash, at endpoint: Endpoint, now: Instant) {
    guard let id = requests.add(.reserve, to: relay.peerID, now: now) else { return }
    relays.asking[relay] = now
    if !reachRelay(relay, at: endpoint, with: .reserve(id), now: now) {
      relays.asking[relay] = nil
      relays.selection.brokePromise(relay, now: now)
    }
  }

  mutating func takeReservation(
    _ id: ControlMessage.RequestID, _ grant: ReservationGrant?, slot: Int, now: Instant
  ) {
    let neighbour = neighbours.entries[slot]
    guard let request = requests.take(id, from: neighbour.peerID), request.kind == .reserve,
      let relay = neighbour.keyHash
    else { return counters.count(.controlMalformed) }
    relays.asking[relay] = nil
    let announced = relays.held[relay]?.reservation.endpoint ?? relays.selection.profile(relay)?.endpoint
    guard let grant, grant.life >= .seconds(60), let endpoint = announced ?? neighbour.current?.endpoint,
      let reservation = RelayReservation(relay: relay, endpoint: endpoint, id: grant.id)
    else {
      relays.selection.brokePromise(relay, now: now)
      letGo(relay)
      relays.nextReservationLook = now
      return
    }
    relays.selection.measured(relay, now - request.sentAt)
    relays.selection.keptPromise(relay)
    let life = min(grant.life, RelayLimits.reservationLife)
    relays.held[relay] = RelayBook.Held(
      reservation: reservation, expires: now + life, renewAt: now + life / 2)
    neighbours.entries[slot].isKept = true
    announceReservations()
    planReservationLook(now: now)
  }

  private mutating func letGo(_ relay: KeyHash) {
    guard relays.held.removeValue(forKey: relay) != nil else { return }
    if let slot = neighbours.slot(relay.peerID) { neighbours.entries[slot].isKept = false }
  }

  /// There is a new session with a relay: it may have begun anew and forgotten the place, which is asked for
  /// again. Where it has not, the place stays what it is.
  mutating func confirmPlace(with peerID: PeerID, now: Instant) {
    guard let relay = relays.held.keys.first(where: { $0.peerID == peerID }) else { return }
    relays.held[relay]?.renewAt = now
    relays.nextReservationLook = now
  }

  /// The session with a relay is over: its place is asked for again at once, and given up if nobody answers.
  mutating func placeLost(with peerID: PeerID, now: Instant) {
    let relays = self.relays.held.keys.filter { $0.peerID == peerID }
    let asked = self.relays.asking.keys.filter { $0.peerID == peerID }
    for relay in asked {
      self.relays.asking[relay] = nil
      self.relays.selection.brokePromise(relay, now: now)
    }
    for relay in relays { self.relays.held[relay]?.renewAt = now }
    if !relays.isEmpty || !asked.isEmpty { self.relays.nextReservationLook = now }
  }

  private mutating func announceReservations() {
    let reservations = relays.reservations
    guard reservations != relays.announced else { return }
    relays.announced = reservations
    emit(.reservationsChanged(reservations))
  }
}
