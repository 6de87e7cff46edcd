public import MeshCrypto
public import MeshWire

/// The client half: circuits that end at this node, those that it built and those that were built to it.
public struct CircuitClient {
  /// Circuits of our own, building or standing.
  public static let ownLimit = 128
  /// Circuits that others built to reservations of ours, in all and through one relay.
  public static let inboundLimit = 256
  public static let inboundPerRelay = 128
  /// The create message is said again after 1 s, then after twice as long each time.
  static let firstRepeat = Duration.seconds(1)
  static let tries = 4
  /// When a circuit of ours has been quiet for so long, an empty cell goes through it and back.
  static let quiet = Duration.seconds(20)
  /// Between two such cells: twice the round trip, within these.
  static let leastPatience = Duration.milliseconds(500)
  static let mostPatience = Duration.seconds(3)
  static let probes = 4

  let own: KeyHash
  var circuits: [CircuitNumber: ClientCircuit] = [:]
  var links: [CircuitLink: CircuitNumber] = [:]
  private var nextNumber: UInt32 = 1
  public internal(set) var drops: [CellDrop: UInt64] = [:]

  public init(own: KeyHash) { self.own = own }

  public var count: Int { circuits.count }

  /// Circuits that end here, in the order of their making.
  public var all: [CircuitNumber] { circuits.keys.sorted() }

  /// How many relays it has; `nil` when there is no such circuit.
  public func hops(of number: CircuitNumber) -> Int? { circuits[number]?.hops }

  /// The relays of a circuit that we built, the entry first; of another, the one that it came through.
  public func path(of number: CircuitNumber) -> [KeyHash] {
    guard let circuit = circuits[number] else { return [] }
    return circuit.isOurs ? circuit.path.map(\.keyHash) : [circuit.entry]
  }

  /// Whether datagrams may go into it.
  public func isStanding(_ number: CircuitNumber) -> Bool { circuits[number]?.isStanding ?? false }

  /// For how long something has come through it; zero for one that doesn't stand.
  public func carried(by number: CircuitNumber) -> Duration { circuits[number]?.carried ?? .zero }

  /// The relay that its cells go to.
  public func entry(of number: CircuitNumber) -> PeerID? { circuits[number]?.entry.peerID }

  // MARK: Building

  /// Begins to build a circuit through these relays, the entry first, to a reservation at the last one. `nil`
  /// when ``ownLimit`` are there, or the chain is none: empty, too long, or with a relay twice.
  public mutating func begin(
    _ path: [RelayHop], reservation: [UInt8], now: Instant, into actions: inout [CircuitAction]
  ) -> CircuitNumber? {
    guard let entry = path.first, path.count <= CellLayout.longestChain,
      Set(path.map(\.keyHash)).count == path.count, !path.contains(where: { $0.keyHash == own }),
      reservation.count == CreateLayout.reservationSize,
      circuits.values.count(where: \.isOurs) < Self.ownLimit
    else { return nil }
    let number = takeNumber()
    circuits[number] = ClientCircuit(
      number: number, entry: entry.keyHash, entryEndpoint: entry.endpoint, circuit: 0, path: path,
      reservation: reservation,
      state: .agreeing(
        [HopKeys?](repeating: nil, count: path.count),
        answers: [KeyExchangeAnswer?](repeating: nil, count: path.count)),
      hops: path.count, begun: now, lastIn: now, lastOut: now)
    for (hop, relay) in path.enumerated() {
      actions.append(.compute(number, hop: hop, .answer(relay.onionKey)))
    }
    return number
  }

  private mutating func takeNumber() -> CircuitNumber {
    defer { nextNumber &+= 1 }
    return CircuitNumber(number: nextNumber)
  }

  /// Takes the result of the key exchange with one relay; when all are there, the create message goes out.
  ///
  /// - Parameter random: 32 bits, for the circuit's id at the entry.
  public mutating func computed(
    _ number: CircuitNumber, hop: Int, _ result: CryptoResult, random: UInt32, now: Instant, wall: WallTime,
    into actions: inout [CircuitAction]
  ) {
    guard let circuit = circuits[number], case .agreeing(var keys, var answers) = circuit.state,
      keys.indices.contains(hop)
    else { return }
    guard case .answered(let answer, let secret) = result else {
      return lose(number, .malformed, into: &actions)
    }
    let relay = circuit.path[hop]
    keys[hop] = HopKeys(
      relay: relay.keyHash, onionKey: relay.onionKey, answer: answer, secret: secret)
    answers[hop] = answer
    circuits[number]?.state = .agreeing(keys, answers: answers)
    let all = keys.compactMap { $0 }
    let allAnswers = answers.compactMap { $0 }
    guard all.count == keys.count else { return }
    var command = CreateCommand.end(reservation: circuit.reservation)
    var layer: [UInt8] = []
    for position in all.indices.reversed() {
      let relay = circuit.path[position]
      layer = CreateLayer.seal(
        command, position: position, onionKey: relay.onionKey, answer: allAnswers[position],
        keys: all[position], time: wall)
      command = .extend(to: relay.keyHash, at: relay.endpoint, layer: layer)
    }
    let link = freeLink(random, toward: circuit.entry)
    links[link] = number
    circuits[number]?.circuit = link.circuit
    circuits[number]?.layers = all.map {
      HopLayers(forward: LayerSealer(key: $0.forward), backward: LayerOpener(key: $0.backward))
    }
    circuits[number]?.created = now
    circuits[number]?.state = .creating(layer: layer, tries: 1, next: now + Self.firstRepeat)
    actions.append(
      .create(circuit: link.circuit, layer: layer, to: circuit.entry, at: circuit.path[0].endpoint))
  }

  private func freeLink(_ random: UInt32, toward entry: KeyHash) -> CircuitLink {
    var number = random
    while true {
      let id = RelayServer.circuitID(number, of: own, toward: entry)
      let link = CircuitLink(neighbour: entry.peerID, circuit: id)
      if links[link] == nil { return link }
      number &+= 1
    }
  }

  // MARK: Cells

  /// Seals a datagram of at most 1,341 bytes into a cell of 1,419, to be sent to the relay that this returns.
  /// Allocates nothing.
  public mutating func seal(
    _ datagram: Span<UInt8>, _ number: CircuitNumber, into cell: inout MutableSpan<UInt8>, now: Instant
  ) -> Result<PeerID, CellRefusal> {
    guard circuits[number]?.isStanding ?? false else { return refuse(.notStanding) }
    guard datagram.count <= CellLayout.largestPayload, cell.count == CellLayout.cellSize else {
      return refuse(.tooLarge)
    }
    sealCore(datagram, number, into: &cell)
    circuits[number]?.lastOut = now
    if datagram.count > 0 { expectAnswer(number, now: now) }
    guard let entry = circuits[number]?.entry.peerID else { return refuse(.notStanding) }
    return .success(entry)
  }

  /// The circuit was quiet: from here on it may show within a second whether it stands.
  private mutating func expectAnswer(_ number: CircuitNumber, now: Instant) {
    guard circuits[number]?.isOurs ?? false, let lastIn = circuits[number]?.lastIn,
      let next = circuits[number]?.nextProbe, let patience = circuits[number]?.patience,
      now - lastIn > patience
    else { return }
    circuits[number]?.nextProbe = min(next, now + patience)
  }

  private mutating func sealCore(
    _ datagram: Span<UInt8>, _ number: CircuitNumber, into cell: inout MutableSpan<UInt8>
  ) {
    CellLayout.setCircuit(circuits[number]?.circuit ?? 0, &cell)
    CellLayout.setCore(datagram, hops: circuits[number]?.hops ?? 1, &cell)
    for hop in (0..<(circuits[number]?.layers.count ?? 0)).reversed() {
      circuits[number]?.layers[hop].forward.seal(&cell, outer: hop)
    }
  }

  private mutating func refuse(_ reason: CellDrop) -> Result<PeerID, CellRefusal> {
    drops[reason, default: 0] += 1
    return .failure(CellRefusal(reason: reason))
  }

  /// Opens a cell that came from a neighbour, in place.
  ///
  /// - Parameter reservedThere: whether we hold a reservation at that neighbour: only then may a circuit
  ///   begin with its first cell.
  public mutating func open(
    _ cell: inout MutableSpan<UInt8>, from neighbour: KeyHash, reservedThere: Bool, now: Instant,
    into actions: inout [CircuitAction]
  ) -> CellContent {
    guard cell.count == CellLayout.cellSize else { return drop(.malformed) }
    let link = CircuitLink(neighbour: neighbour.peerID, circuit: CellLayout.circuit(cell))
    guard let number = links[link] ?? arrived(link, neighbour, &cell, reservedThere, now) else {
      return drop(.unknownCircuit)
    }
    for hop in 0..<(circuits[number]?.layers.count ?? 0) {
      switch circuits[number]?.layers[hop].backward.open(&cell, outer: hop) {
      case .opened: break
      case .replayed: return drop(.replayed)
      case .unauthenticated, nil: return drop(.unauthenticated)
      }
    }
    guard let core = CellLayout.core(cell) else { return drop(.malformed) }
    heard(number, isEmpty: core.datagram.isEmpty, now: now, into: &actions)
    guard core.datagram.isEmpty else { return .datagram(number, core.datagram) }
    if circuits[number]?.isOurs == false { answer(number, now: now, into: &actions) }
    return .handled
  }

  private mutating func drop(_ reason: CellDrop) -> CellContent {
    drops[reason, default: 0] += 1
    return .dropped(reason)
  }

  /// A circuit that somebody built to a reservation of ours begins with its first cell.
  private mutating func arrived(
    _ link: CircuitLink, _ neighbour: KeyHash, _ cell: inout MutableSpan<UInt8>, _ reservedThere: Bool,
    _ now: Instant
  ) -> CircuitNumber? {
    guard reservedThere, RelayServer.isOwnHalf(link.circuit, of: neighbour, toward: own),
      let core = CellLayout.core(cell), core.hops <= CellLayout.longestChain
    else { return nil }
    let inbound = circuits.values.lazy.filter { !$0.isOurs }
    guard inbound.count < Self.inboundLimit,
      inbound.count(where: { $0.entry == neighbour }) < Self.inboundPerRelay
    else { return nil }
    let number = takeNumber()
    circuits[number] = ClientCircuit(
      number: number, entry: neighbour, entryEndpoint: nil, circuit: link.circuit, path: [], reservation: [],
      state: .standing, hops: core.hops, begun: now, lastIn: now, lastOut: now)
    links[link] = number
    return number
  }

  private mutating func heard(
    _ number: CircuitNumber, isEmpty: Bool, now: Instant, into actions: inout [CircuitAction]
  ) {
    guard let circuit = circuits[number] else { return }
    circuits[number]?.lastIn = now
    guard circuit.isOurs else { return }
    if !circuit.isStanding {
      circuits[number]?.state = .standing
      adapt(number, to: now - (circuit.created ?? circuit.begun))
      actions.append(.ready(number, hops: circuit.hops, after: now - circuit.begun))
    } else if isEmpty, let sent = circuit.probeSent {
      adapt(number, to: now - sent)
      actions.append(.measured(number, roundTrip: now - sent))
    }
    circuits[number]?.probeSent = nil
    circuits[number]?.probes = 0
    circuits[number]?.nextProbe = now + Self.quiet
  }

  private mutating func adapt(_ number: CircuitNumber, to roundTrip: Duration) {
    circuits[number]?.patience = min(max(roundTrip * 2, Self.leastPatience), Self.mostPatience)
  }

  /// An empty cell from whoever built the circuit asks whether it stands, all the way.
  private mutating func answer(
    _ number: CircuitNumber, now: Instant, into actions: inout [CircuitAction]
  ) {
    let last = circuits[number]?.probeSent.map { now - $0 } ?? .seconds(1)
    guard last >= Self.leastPatience / 2 else { return }
    circuits[number]?.probeSent = now
    sendEmpty(number, now: now, into: &actions)
  }

  mutating func sendEmpty(_ number: CircuitNumber, now: Instant, into actions: inout [CircuitAction]) {
    guard let entry = circuits[number]?.entry.peerID else { return }
    var cell = [UInt8](repeating: 0, count: CellLayout.cellSize)
    var span = cell.mutableSpan
    sealCore([UInt8]().span, number, into: &span)
    circuits[number]?.lastOut = now
    actions.append(.send(cell: cell, to: entry))
  }
}

/// Why a datagram did not go into a circuit. Counted.
public struct CellRefusal: Error, Sendable, Hashable {
  public let reason: CellDrop
}
