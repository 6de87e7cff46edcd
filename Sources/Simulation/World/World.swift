import MeshCrypto
public import MeshNode
public import MeshWire

/// A whole internet in one value: virtual time, links, hosts with their nodes, a backbone, and the
/// invariants that watch them.
///
/// Everything that happens follows from the seed and from the calls made; nothing here reads a clock or draws
/// randomness of its own.
public struct World {
  public private(set) var now = Instant(nanoseconds: 1_000_000_000_000)
  public internal(set) var hosts: [Host] = []
  public internal(set) var monitor = Monitor()
  public var backbone = SimulatedBackbone()
  /// Is told every event of every node.
  public var onEvent: ((Instant, HostID, NodeEvent) -> Void)?
  /// Is told every IP packet that a node hands to its host.
  public var onPacket: ((HostID, [UInt8]) -> Void)?
  /// What happens to single datagrams, besides what the links do.
  public var script = Script()
  /// Events handled so far, the measure of a run's cost.
  public private(set) var eventCount = 0

  /// Who sees what passes, and mixes something in.
  var attackers: [any Attacker] = []
  /// Datagrams that attackers mixed in.
  public internal(set) var forgedCount = 0

  var network: Network
  var chance: Chance
  /// A large one, most of which sleeps.
  var population: Population?
  private var hostsByKey: [KeyHash: HostID] = [:]
  private var queue = EventQueue<Happening>()
  private let wallStart = WallTime(secondsSinceEpoch: 1_800_000_000)
  private let start = Instant(nanoseconds: 1_000_000_000_000)

  enum Happening {
    case arrival(Flight)
    case wake(HostID)
    /// Indirect, so that the others are small: a queue moves them often.
    indirect case computed(HostID, life: Int, CryptoTicket, CryptoResult)
    case backboneAnswered(HostID, life: Int, LookupID)
    /// A host signs its record anew.
    case renewal(HostID, life: Int)
    /// A crash and the restart at once.
    case powerCut(HostID)
    case attackersAct
  }

  public init(seed: UInt64, usual: LinkQuality = LinkQuality()) {
    let root = Chance(seed: seed)
    chance = root.stream(1)
    network = Network(usual: usual, chance: root.stream(2))
  }

  /// The world's wall clock, which no host needs to agree with.
  public var wall: WallTime { wallStart + (now - start) }

  // MARK: Time

  /// Lets so much time pass.
  public mutating func run(_ duration: Duration) { run(until: now + duration) }

  /// Lets everything happen that is due by then, or until a rule is broken.
  public mutating func run(until end: Instant) {
    while let next = queue.nextTime, next <= end, monitor.violation == nil, let due = queue.removeFirst() {
      now = max(now, due.at)
      eventCount += 1
      handle(due.event)
    }
    now = max(now, end)
  }

  /// Lets time pass until something is so, looked at after each event; returns whether it came to be.
  public mutating func run(atMost duration: Duration, until isSo: (borrowing World) -> Bool) -> Bool {
    let end = now + duration
    if isSo(self) { return true }
    while let next = queue.nextTime, next <= end, monitor.violation == nil, let due = queue.removeFirst() {
      now = max(now, due.at)
      eventCount += 1
      handle(due.event)
      if isSo(self) { return true }
    }
    if monitor.violation == nil { now = max(now, end) }
    return false
  }

  private mutating func handle(_ event: Happening) {
    switch event {
    case .attackersAct: attackersAct()
    case .powerCut(let id):
      guard hosts[id.number].isUp else { return }
      crash(id)
      restart(id)
    case .arrival(let flight):
      guard let host = network.receiver(of: flight, now: now) else { return arriveElsewhere(flight) }
      deliver(flight.datagram, to: host, from: flight.source)
    case .wake(let id):
      guard hosts[id.number].isUp, hosts[id.number].wakesAt.map({ $0 <= now }) ?? false else { return }
      hosts[id.number].wakesAt = nil
      let clock = hosts[id.number].plan.clock
      hosts[id.number].node.advance(to: clock.reading(now), wall: wall + clock.wallError)
      settle(id)
    case .computed(let id, let life, let ticket, let result):
      guard hosts[id.number].isUp, hosts[id.number].life == life else { return }
      hosts[id.number].node.completed(ticket, result, now: localTime(id))
      settle(id)
    case .renewal(let id, let life):
      guard hosts[id.number].isUp, hosts[id.number].life == life else { return }
      keepPublished(id)
    case .backboneAnswered(let id, let life, let lookup):
      guard hosts[id.number].isUp, hosts[id.number].life == life else { return }
      let answer = answerOfBackbone(lookup, to: id)
      hosts[id.number].node.backboneAnswered(lookup, answer, now: localTime(id))
      settle(id)
    }
  }

  mutating func schedule(_ event: Happening, at time: Instant) { queue.insert(event, at: time) }

  func localTime(_ id: HostID) -> Instant { hosts[id.number].plan.clock.reading(now) }

  // MARK: Hosts

  /// Adds a host, running.
  public mutating func addHost(_ plan: HostPlan) -> HostID {
    let id = HostID(number: hosts.count)
    let chance = chance.stream(UInt64(id.number))
    let host = Host(
      id: id, plan: plan, node: Self.node(of: plan, chance, now: now, wall: wall), endpoint: plan.endpoint,
      processor: Processor(threads: plan.threads), chance: chance)
    hosts.append(host)
    hostsByKey[host.keyHash] = id
    network.attach(id, at: plan.endpoint, behind: plan.nats)
    settle(id)
    return id
  }

  static func node(of plan: HostPlan, _ chance: Chance, now: Instant, wall: WallTime) -> MeshNode {
    var chance = chance.stream(7)
    var configuration = NodeConfiguration(
      region: SimulatedBackbone.region, serviceType: plan.serviceType,
      keepsPeersConnected: plan.keepsPeersConnected, lookupPaths: plan.lookupPaths)
    configuration.relayOffer = plan.relayOffer
    configuration.relayHops = plan.relayHops
    return MeshNode(
      configuration: configuration, publicKey: plan.identity.publicKey, randomSeed: chance.bytes(32),
      now: plan.clock.reading(now),
      wall: wall + plan.clock.wallError)
  }

  /// A host, lent and not copied.
  public subscript(_ id: HostID) -> Host { _read { yield hosts[id.number] } }

  /// Runs something on a host's node at its own time, and carries out what it wants.
  public mutating func with<Value>(_ id: HostID, _ body: (inout MeshNode, Instant) throws -> Value) rethrows
    -> Value
  {
    let now = localTime(id)
    defer { settle(id) }
    return try body(&hosts[id.number].node, now)
  }

  /// The power fails: sessions, tables and what the disk hadn't synced are gone.
  public mutating func crash(_ id: HostID) {
    hosts[id.number].isUp = false
    hosts[id.number].life += 1
    hosts[id.number].wakesAt = nil
    hosts[id.number].disk.crash()
    network.detach(hosts[id.number].endpoint)
    monitor.crashed(id)
  }

  /// Starts a crashed host's node anew from its disk.
  public mutating func restart(_ id: HostID) {
    let plan = hosts[id.number].plan
    let fresh = hosts[id.number].chance.stream(UInt64(hosts[id.number].life))
    hosts[id.number].node = Self.node(of: plan, fresh, now: now, wall: wall)
    hosts[id.number].isUp = true
    network.attach(id, at: hosts[id.number].endpoint, behind: plan.nats)
    if let snapshot = hosts[id.number].disk.written {
      hosts[id.number].node.restore(snapshot, now: localTime(id))
    }
    for entry in hosts[id.number].peers { try? hosts[id.number].node.addPeer(entry, now: localTime(id)) }
    settle(id)
  }

  /// Writes a host's state, as its daemon does every few minutes, and syncs it unless that fails.
  public mutating func save(_ id: HostID, syncs: Bool) {
    hosts[id.number].disk.write(hosts[id.number].node.snapshot(now: localTime(id)))
    if syncs { hosts[id.number].disk.sync() }
  }

  /// One host's owner adds another.
  public mutating func add(_ other: HostID, asPeerOf id: HostID, at endpoints: [Endpoint]) {
    let entry = PeerEntry(
      peerID: self[other].peerID, keyHash: self[other].keyHash, inbound: InboundPermission(allowsAll: true),
      endpoints: endpoints)
    hosts[id.number].peers.append(entry)
    with(id) { node, now in try? node.addPeer(entry, now: now) }
  }

  // MARK: Datagrams and packets

  mutating func deliver(_ datagram: [UInt8], to id: HostID, from source: Endpoint) {
    monitor.received(datagram.count, at: id, from: source)
    var bytes = datagram
    var span = bytes.mutableSpan
    let received = hosts[id.number].node.receive(&span, from: source, now: localTime(id))
    if case .packet(let range) = received { take(Array(bytes[range]), at: id) }
    settle(id)
  }

  private mutating func take(_ packet: [UInt8], at id: HostID) {
    monitor.delivered(packet, at: id, now: now)
    onPacket?(id, packet)
  }

  /// An IP packet comes out of a host's TUN device.
  @discardableResult
  public mutating func transmit(_ packet: [UInt8], from id: HostID) -> Sent {
    var output = [UInt8](repeating: 0, count: packet.count + 256)
    var span = output.mutableSpan
    let sent = hosts[id.number].node.send(packet.span, into: &span, now: localTime(id))
    switch sent {
    case .datagram(let count, let to): send(Array(output[..<count]), from: id, to: to)
    case .pair(let first, let second, let to):
      send(Array(output[..<first]), from: id, to: to)
      send(Array(output[first..<first + second]), from: id, to: to)
    case .queued, .relayed, .dropped: break
    }
    settle(id)
    return sent
  }

  private mutating func send(_ datagram: [UInt8], from id: HostID, to destination: Endpoint) {
    monitor.sent(datagram, from: id, to: destination, now: now)
    let flights = network.send(
      datagram, from: id, at: hosts[id.number].endpoint, to: destination, now: now)
    if !attackers.isEmpty, let flight = flights.first { show(flight) }
    guard let fate = script.next() else {
      for flight in flights { queue.insert(.arrival(flight), at: flight.at) }
      return
    }
    for flight in flights { meet(fate, flight, from: id) }
  }

  private mutating func meet(_ fate: Fate, _ flight: Flight, from id: HostID) {
    switch fate {
    case .drop: break
    case .duplicate:
      queue.insert(.arrival(flight), at: flight.at)
      queue.insert(.arrival(flight), at: flight.at)
    case .holdBack: queue.insert(.arrival(flight), at: flight.at + (flight.at - now) * 3)
    case .senderRestarts:
      queue.insert(.arrival(flight), at: flight.at)
      queue.insert(.powerCut(id), at: now)
    case .receiverRestarts:
      if let receiver = network.receiver(of: flight, now: now) {
        queue.insert(.powerCut(receiver), at: flight.at)
      }
      queue.insert(.arrival(flight), at: flight.at)
    }
  }

  /// An attacker's datagram, whose source is what the attacker says.
  public mutating func inject(_ datagram: [UInt8], pretending source: Endpoint, to destination: Endpoint) {
    for flight in network.inject(datagram, pretending: source, to: destination, now: now) {
      queue.insert(.arrival(flight), at: flight.at)
    }
  }

  // MARK: Actions

  /// Carries out what a host's node wants, and notes when it wants to be called on next.
  mutating func settle(_ id: HostID) {
    while let action = hosts[id.number].node.nextAction() {
      switch action {
      case .send(let datagram, let to): send(datagram, from: id, to: to)
      case .deliver(let packet): take(packet, at: id)
      case .compute(let ticket, let job): compute(ticket, job, on: id)
      case .askBackbone(let lookup, let target):
        let answersAt = now + backbone.ask(lookup, target, of: id)
        queue.insert(.backboneAnswered(id, life: hosts[id.number].life, lookup), at: answersAt)
      // A relay that serves streams has no place in this internet yet.
      case .openStream(let stream, _, _): hosts[id.number].node.streamClosed(stream, now: localTime(id))
      case .closeStream: break
      case .event(let event):
        judge(event, at: id)
        note(event, at: id)
        keepForRecord(event, at: id)
        onEvent?(now, id, event)
      }
    }
    guard let deadline = Self.deadline(of: &hosts[id.number].node) else { return }
    let at = max(now, hosts[id.number].plan.clock.worldTime(deadline))
    if let known = hosts[id.number].wakesAt, known <= at { return }
    hosts[id.number].wakesAt = at
    queue.insert(.wake(id), at: at)
  }

  /// Lent as it stands: to read it otherwise copies the whole node.
  private static func deadline(of node: inout MeshNode) -> Instant? { node.nextDeadline }

  private mutating func compute(_ ticket: CryptoTicket, _ job: CryptoJob, on id: HostID) {
    monitor.asked(job, at: id, now: now)
    let cost = JobCost.of(job, &hosts[id.number].chance)
    let result =
      switch hosts[id.number].plan.identity {
      case .real(let key): job.perform(with: key)
      case .standIn(let key): StandIn.perform(job, as: key, chance: &hosts[id.number].chance)
      }
    let done = hosts[id.number].processor.run(cost, now: now)
    let shared: CryptoResult =
      if case .record(let record) = result, let population {
        .record(population.archive.shared(record))
      } else {
        result
      }
    queue.insert(.computed(id, life: hosts[id.number].life, ticket, shared), at: done)
  }

  /// Whoever is connected to must be a host of this world, with the key that its PeerID is made of.
  private mutating func judge(_ event: NodeEvent, at id: HostID) {
    guard case .peerConnected(let peerID, let keyHash, _, _) = event else { return }
    if keyHash.peerID != peerID || hostsByKey[keyHash] == nil {
      monitor.broken(.agreement, "host \(id.number) is connected to \(keyHash), whom nobody is", now: now)
    }
  }

  /// Whether both ends use the same session, which is what they must agree on in the end.
  public func agree(_ a: HostID, _ b: HostID) -> Bool {
    guard let one = hosts[a.number].node.sessionHash(with: self[b].peerID),
      let other = hosts[b.number].node.sessionHash(with: self[a].peerID)
    else { return false }
    return one == other
  }

  /// Looks at the bounds of every node's tables.
  public mutating func inspect() {
    for host in hosts where host.isUp { monitor.inspect(host.id, host.node.load, now: now) }
  }

  /// Sends a packet that is known again when it comes out; `size` is that of its payload beyond the mark.
  /// Returns its number.
  @discardableResult
  public mutating func say(_ size: Int, from a: HostID, to b: HostID) -> UInt64 {
    let (from, to) = (self[a].peerID, self[b].peerID)
    let (number, packet) = monitor.expect(at: b) {
      TestPacket.packet($0, from: from, to: to, size: size)
    }
    transmit(packet, from: a)
    return number
  }

  /// Whether a packet of ``say(_:from:to:)`` has come out.
  public func hasArrived(_ number: UInt64) -> Bool { monitor.isDelivered(number) }

  /// Says whether whatever comes to a host comes from forged addresses only.
  public mutating func setHearsNobodyHonest(_ hearsNobody: Bool, _ id: HostID) {
    monitor.setHearsNobodyHonest(hearsNobody, id)
  }

  /// Nobody is at this address: what comes from it is an attacker's.
  public mutating func declareForged(_ address: Endpoint) { monitor.declareForged(address) }

  // MARK: Faults

  /// A host's address changes under it, as when it goes from one network to another; it is not told.
  public mutating func move(_ id: HostID, to endpoint: Endpoint) {
    if hosts[id.number].isUp {
      network.detach(hosts[id.number].endpoint)
      network.attach(id, at: endpoint, behind: hosts[id.number].plan.nats)
    }
    hosts[id.number].endpoint = endpoint
  }

  /// Adds a translator with one outer address, for hosts to stand behind.
  public mutating func addNAT(_ kind: NATKind, at outer: IPAddress) -> NATID {
    network.addNAT(kind, at: outer)
  }

  /// A translator forgets its mappings.
  public mutating func reboot(_ nat: NATID) { network.reboot(nat) }

  /// Cuts a host off from all but those of the same group; `nil` puts it back.
  public mutating func setGroup(_ group: Int?, of id: HostID) { network.setGroup(group, of: id) }

  /// Lets no UDP of this host through.
  mutating func block(_ id: HostID) { network.block(id) }

  /// Where a host is seen from outside.
  mutating func outerEndpoint(of id: HostID) -> Endpoint? {
    network.outerEndpoint(of: id, at: hosts[id.number].endpoint, now: now)
  }

  /// Ends every fault of the network.
  public mutating func heal() { network.heal() }
}
