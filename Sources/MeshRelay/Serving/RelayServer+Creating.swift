public import MeshCrypto
public import MeshWire

/// An onion key of ours, and the week that it was made in.
struct OnionKey {
  let secret: KeyExchangeSecret
  let id: [UInt8]
  let week: UInt32
}

/// A create message whose key exchange is being computed.
struct Creating {
  let client: CircuitLink
  let prefix: IPAddress?
  let layer: [UInt8]
  let position: Int
  let onionKey: KeyExchangeOffer
  let answer: KeyExchangeAnswer
  let since: Instant
}

/// Names a key exchange that a ``RelayServer`` waits for.
public struct CreateTicket: Sendable, Hashable {
  public let number: UInt64
}

/// What came of a create message.
public enum CreateOutcome: Sendable {
  /// Give the result to ``RelayServer/computed(_:_:random:now:wall:holder:into:)``.
  case compute(CreateTicket, CryptoJob)
  /// The same one again, of a circuit that is being built or stands: what may have been lost is said again.
  case repeated
  case refused(CircuitEnd)
}

extension RelayServer {
  /// Takes this week's onion key. The one before stays good.
  public mutating func add(onionKey secret: KeyExchangeSecret, week: UInt32) {
    onionKeys.insert(OnionKey(secret: secret, id: secret.offer.keyID, week: week), at: 0)
    onionKeys = Array(onionKeys.prefix(2))
  }

  /// The newest onion key, to announce, and its week.
  public var announcedKey: (offer: KeyExchangeOffer, week: UInt32)? {
    onionKeys.first.map { ($0.secret.offer, $0.week) }
  }

  /// Whether a circuit id was chosen by the right side: its first bit is set by the node with the higher
  /// KeyHash.
  static func isOwnHalf(_ circuit: UInt32, of chooser: KeyHash, toward other: KeyHash) -> Bool {
    (circuit >> 31 == 1) == (other < chooser)
  }

  /// A circuit id of our half toward a neighbour, from 32 random bits.
  public static func circuitID(_ random: UInt32, of chooser: KeyHash, toward other: KeyHash) -> UInt32 {
    other < chooser ? random | 1 << 31 : random & (1 << 31 - 1)
  }

  /// Takes a create message from an authenticated neighbour.
  ///
  /// - Parameter prefix: the neighbour's network, by which circuits are counted; `nil` when it isn't.
  public mutating func create(
    _ circuit: UInt32, _ layer: [UInt8], from neighbour: KeyHash, prefix: IPAddress?, now: Instant,
    into actions: inout [RelayAction]
  ) -> CreateOutcome {
    wantSweep(now: now)
    let link = CircuitLink(neighbour: neighbour.peerID, circuit: circuit)
    if let index = links[link] { return repeated(index, link, layer, into: &actions) }
    if creating.values.contains(where: { $0.client == link }) { return .repeated }
    guard Self.isOwnHalf(circuit, of: neighbour, toward: own), let head = CreateLayer.head(of: layer) else {
      return refuse(.malformed)
    }
    guard let key = onionKeys.first(where: { $0.id == head.keyID }) else { return refuse(.unknownKey) }
    let ofNeighbour = circuits.count { $0.client.neighbour == link.neighbour }
    let ofPrefix = prefix.map { prefix in circuits.count { $0.clientPrefix == prefix } } ?? 0
    guard circuits.count + creating.count < limits.circuits, ofNeighbour < limits.circuitsPerNeighbour,
      ofPrefix < limits.circuitsPerPrefix, creating.count < limits.creating,
      budget.take(from: link.neighbour, limits: limits, now: now)
    else { return refuse(.full) }
    guard memory.admit(UInt128(bytes: Primitives.sha256(head.answer.bytes)), now: now) else {
      return refuse(.replayed)
    }
    let ticket = CreateTicket(number: nextCreating)
    nextCreating += 1
    creating[ticket.number] = Creating(
      client: link, prefix: prefix, layer: layer, position: head.position, onionKey: key.secret.offer,
      answer: head.answer, since: now)
    return .compute(ticket, .open(head.answer, with: key.secret))
  }

  private mutating func refuse(_ end: CircuitEnd) -> CreateOutcome {
    counters.count(end)
    return .refused(end)
  }

  private mutating func repeated(
    _ index: Int, _ link: CircuitLink, _ layer: [UInt8], into actions: inout [RelayAction]
  ) -> CreateOutcome {
    let circuit = circuits[index]
    guard circuit.client == link, circuit.created == UInt128(bytes: Primitives.sha256(layer)) else {
      return refuse(.malformed)
    }
    if let inner = circuit.inner, let next = circuit.next {
      if !circuit.isConfirmed {
        actions.append(
          .extend(to: next.relay, at: next.endpoint, circuit: circuit.core.circuit, layer: inner))
      }
    } else {
      confirm(index, into: &actions)
    }
    return .repeated
  }

  /// Takes the result of a create message's key exchange.
  ///
  /// - Parameters:
  ///   - random: 32 bits, for the id of the circuit toward the next neighbour.
  ///   - holder: the KeyHash of a neighbour that there is a session with.
  public mutating func computed(
    _ ticket: CreateTicket, _ result: CryptoResult, random: UInt32, now: Instant, wall: WallTime,
    holder: (PeerID) -> KeyHash?, into actions: inout [RelayAction]
  ) {
    guard let creating = creating.removeValue(forKey: ticket.number) else { return }
    let end: CircuitEnd?
    if case .opened(let secret) = result {
      end = build(creating, secret, random: random, now: now, wall: wall, holder: holder, into: &actions)
    } else {
      end = .malformed
    }
    guard let end else { return }
    counters.count(end)
    actions.append(.close(circuit: creating.client.circuit, end, to: creating.client.neighbour))
  }

  private mutating func build(
    _ creating: Creating, _ secret: SharedSecret, random: UInt32, now: Instant, wall: WallTime,
    holder: (PeerID) -> KeyHash?, into actions: inout [RelayAction]
  ) -> CircuitEnd? {
    let keys = HopKeys(
      relay: own, onionKey: creating.onionKey, answer: creating.answer, secret: secret)
    guard let (command, time) = CreateLayer.open(creating.layer, position: creating.position, keys: keys)
    else { return .malformed }
    guard wall - time <= RelayLimits.clockTolerance, time - wall <= RelayLimits.clockTolerance else {
      return .replayed
    }
    let core: CircuitLink
    var inner: [UInt8]?
    var next: (relay: KeyHash, endpoint: Endpoint)?
    var reservation: UInt128?
    switch command {
    case .extend(let relay, let endpoint, let layer):
      guard relay != own, relay.peerID != creating.client.neighbour, endpoint.isDialable || permitsLoopback
      else { return .loop }
      core = freeLink(random, toward: relay)
      inner = layer
      next = (relay, endpoint)
      actions.append(.extend(to: relay, at: endpoint, circuit: core.circuit, layer: layer))
    case .end(let id):
      let number = UInt128(bytes: id)
      guard let held = reservations[number], held.expires > now else { return .noReservation }
      guard held.holder != creating.client.neighbour else { return .loop }
      guard let keyHash = holder(held.holder) else { return .unreachable }
      core = freeLink(random, toward: keyHash)
      reservation = number
    }
    circuits.append(
      RelayedCircuit(
        position: creating.position, client: creating.client, core: core, clientPrefix: creating.prefix,
        created: UInt128(bytes: Primitives.sha256(creating.layer)), inner: inner, next: next,
        reservation: reservation, forward: LayerOpener(key: keys.forward),
        backward: LayerSealer(key: keys.backward), opened: now, lastUsed: now,
        isConfirmed: reservation != nil))
    links[creating.client] = circuits.count - 1
    links[core] = circuits.count - 1
    counters.circuitsOpened += 1
    if reservation != nil { confirm(circuits.count - 1, into: &actions) }
    return nil
  }

  private func freeLink(_ random: UInt32, toward next: KeyHash) -> CircuitLink {
    var number = random
    while true {
      let id = Self.circuitID(number, of: own, toward: next)
      let link = CircuitLink(neighbour: next.peerID, circuit: id)
      if links[link] == nil { return link }
      number &+= 1
    }
  }

  /// The first cell that goes back says to the client that its circuit stands: an empty one.
  private mutating func confirm(_ index: Int, into actions: inout [RelayAction]) {
    var cell = [UInt8](repeating: 0, count: CellLayout.cellSize)
    var span = cell.mutableSpan
    CellLayout.setCircuit(circuits[index].client.circuit, &span)
    CellLayout.setCore([UInt8]().span, hops: circuits[index].position + 1, &span)
    circuits[index].backward.seal(&span, outer: circuits[index].position)
    actions.append(.send(cell: cell, to: circuits[index].client.neighbour))
  }
}
