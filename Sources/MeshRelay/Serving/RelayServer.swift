import MeshCrypto
public import MeshWire

/// The serving half of a relay: reservations of nodes that want to be reached here, and circuits of
/// neighbours.
///
/// A value without sessions: neighbours are named by PeerID, and whoever owns the sessions carries cells and
/// messages between them and this. It sees who its neighbours are, how much passes and when, and nothing of
/// what is inside.
public struct RelayServer {
  public private(set) var limits: RelayLimits
  let own: KeyHash
  let permitsLoopback: Bool
  var circuits: ContiguousArray<RelayedCircuit> = []
  /// Both sides of every circuit.
  var links: [CircuitLink: Int] = [:]
  var reservations: [UInt128: HeldReservation] = [:]
  var held: [PeerID: UInt128] = [:]
  var onionKeys: [OnionKey] = []
  var creating: [UInt64: Creating] = [:]
  var nextCreating: UInt64 = 1
  var memory = CreateMemory()
  var budget = CreateBudget()
  var rate: RateLimit
  /// Once a second while there is anything to look at.
  private var sweepAt: Instant?
  public internal(set) var counters = RelayCounters()

  /// - Parameter permitsLoopback: next relays may be on this machine: for tests.
  public init(own: KeyHash, limits: RelayLimits, permitsLoopback: Bool = false, now: Instant) {
    self.own = own
    self.permitsLoopback = permitsLoopback
    self.limits = limits
    rate = RateLimit(rate: limits.bytesPerSecond, now: now)
  }

  /// Another offer, in Mbit/s; with 0 nothing passes any more. Circuits stand.
  public mutating func setOffer(_ offer: UInt32, now: Instant) {
    limits.bytesPerSecond = RelayLimits(offer: offer).bytesPerSecond
    rate = RateLimit(rate: limits.bytesPerSecond, now: now, isClosed: offer == 0)
  }

  public var circuitCount: Int { circuits.count }
  public var reservationCount: Int { reservations.count }

  /// Takes a cell of 1,419 bytes from a neighbour and changes it, in place, into the one that goes on.
  /// Allocates nothing.
  ///
  /// - Parameter prefix: the network that it came from, /24 or /56, on which its share of the offer depends;
  ///   `nil` where that says nothing, as on one machine.
  public mutating func relay(
    _ cell: inout MutableSpan<UInt8>, from neighbour: PeerID, of prefix: IPAddress?, now: Instant
  ) -> Relayed {
    guard cell.count == CellLayout.cellSize else { return drop(.malformed) }
    let link = CircuitLink(neighbour: neighbour, circuit: CellLayout.circuit(cell))
    guard let index = links[link] else { return .notRelayed }
    guard rate.admits(CellLayout.cellSize, from: neighbour, of: prefix, now: now) else {
      return drop(.overRate)
    }
    guard circuits[index].bytes < limits.bytesPerCircuit else { return drop(.exhausted) }
    guard spend(circuits[index].reservation, now: now) else { return drop(.exhausted) }
    let position = circuits[index].position
    let onward: CircuitLink
    if link == circuits[index].client {
      switch circuits[index].forward.open(&cell, outer: position) {
      case .opened: break
      case .replayed: return drop(.replayed)
      case .unauthenticated: return drop(.unauthenticated)
      }
      onward = circuits[index].core
      counters.cellsForward += 1
    } else {
      circuits[index].backward.seal(&cell, outer: position)
      circuits[index].isConfirmed = true
      onward = circuits[index].client
      counters.cellsBackward += 1
    }
    circuits[index].lastUsed = now
    circuits[index].bytes += UInt64(CellLayout.cellSize)
    counters.bytes += UInt64(CellLayout.cellSize)
    CellLayout.setCircuit(onward.circuit, &cell)
    return .forward(to: onward.neighbour)
  }

  /// The bytes of a reservation count on all circuits that end there.
  private mutating func spend(_ reservation: UInt128?, now: Instant) -> Bool {
    guard let reservation else { return true }
    guard let held = reservations[reservation], held.expires > now,
      held.bytesLeft >= UInt64(CellLayout.cellSize)
    else { return false }
    reservations[reservation]?.bytesLeft -= UInt64(CellLayout.cellSize)
    return true
  }

  mutating func drop(_ reason: CellDrop) -> Relayed {
    counters.count(reason)
    return .dropped(reason)
  }

  // MARK: Time

  /// When ``advance(to:into:)`` is wanted next.
  public var nextDeadline: Instant? { sweepAt }

  mutating func wantSweep(now: Instant) { sweepAt = sweepAt ?? now + .seconds(1) }

  /// Ends what is over.
  public mutating func advance(to now: Instant, into actions: inout [RelayAction]) {
    guard let sweepAt, sweepAt <= now else { return }
    self.sweepAt = nil
    rate.sweep(now: now)
    memory.forget(now: now)
    creating = creating.filter { now - $0.value.since < RelayLimits.unconfirmed }
    for (id, reservation) in reservations where reservation.expires <= now {
      reservations[id] = nil
      if held[reservation.holder] == id { held[reservation.holder] = nil }
    }
    for index in circuits.indices.reversed() {
      guard let end = endOfLife(circuits[index], now: now) else { continue }
      close(index, end, telling: .both, into: &actions)
    }
    let isIdle =
      circuits.isEmpty && reservations.isEmpty && creating.isEmpty && rate.count == 0 && memory.count == 0
    if !isIdle { wantSweep(now: now) }
  }

  private func endOfLife(_ circuit: RelayedCircuit, now: Instant) -> CircuitEnd? {
    if !circuit.isConfirmed, now - circuit.opened >= RelayLimits.unconfirmed { return .timedOut }
    if now - circuit.lastUsed >= RelayLimits.idle { return .idle }
    if now - circuit.opened >= RelayLimits.circuitLife { return .exhausted }
    if circuit.bytes >= limits.bytesPerCircuit { return .exhausted }
    guard let id = circuit.reservation else { return nil }
    guard let held = reservations[id] else { return .noReservation }
    return held.bytesLeft < UInt64(CellLayout.cellSize) ? .exhausted : nil
  }

  // MARK: Ends

  enum Told {
    case both
    case allBut(PeerID)
  }

  /// A neighbour has closed a circuit. Returns whether it was one that passes here.
  public mutating func closed(
    _ circuit: UInt32, _ end: CircuitEnd, by neighbour: PeerID, into actions: inout [RelayAction]
  ) -> Bool {
    guard let index = links[CircuitLink(neighbour: neighbour, circuit: circuit)] else { return false }
    close(index, end, telling: .allBut(neighbour), into: &actions)
    return true
  }

  /// The session with a neighbour has ended, or never came about: so do the circuits over it. Its reservation
  /// stays until its time is over; it may come back.
  public mutating func lost(
    _ neighbour: PeerID, _ end: CircuitEnd = .broken, into actions: inout [RelayAction]
  ) {
    for index in circuits.indices.reversed()
    where circuits[index].client.neighbour == neighbour || circuits[index].core.neighbour == neighbour {
      close(index, end, telling: .allBut(neighbour), into: &actions)
    }
  }

  mutating func close(
    _ index: Int, _ end: CircuitEnd, telling told: Told, into actions: inout [RelayAction]
  ) {
    let circuit = circuits[index]
    counters.count(end)
    for link in [circuit.client, circuit.core] {
      links[link] = nil
      if case .allBut(let neighbour) = told, neighbour == link.neighbour { continue }
      actions.append(.close(circuit: link.circuit, end, to: link.neighbour))
    }
    let last = circuits.count - 1
    if index < last {
      circuits.swapAt(index, last)
      links[circuits[index].client] = index
      links[circuits[index].core] = index
    }
    circuits.removeLast()
  }
}
