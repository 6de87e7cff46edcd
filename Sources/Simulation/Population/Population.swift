import MeshCrypto
public import MeshNode
public import MeshWire

/// The members of a ``Census`` in a world. They sleep, and cost nothing, until somebody calls on them.
struct Population {
  let census: Census
  let conspiracy: Conspiracy?
  /// Disjoint paths that the members' look-ups take.
  let paths: Int
  var archive: Archive
  var awake: [MemberID: HostID] = [:]
  /// Liars that somebody has spoken to, by where they are.
  var liars: [Endpoint: Liar] = [:]
  var finished: [FinishedLookup] = []
  var chance: Chance

  init(_ census: Census, conspiracy: Conspiracy?, paths: Int, wall: WallTime, chance: Chance) {
    self.census = census
    self.conspiracy = conspiracy
    self.paths = paths
    self.chance = chance
    archive = Archive(expiry: wall + .seconds(7_000))
  }
}

/// A look-up of a population's member that has ended.
public struct FinishedLookup: Sendable {
  public let host: HostID
  public let lookup: LookupID
  public let outcome: LookupOutcome
  public let at: Instant

  /// Which look-up of which host.
  struct Key: Hashable {
    let host: HostID
    let lookup: LookupID
  }
  var key: Key { Key(host: host, lookup: lookup) }
}

extension World {
  /// Puts a population into an empty world.
  public mutating func populate(_ census: Census, conspiracy: Conspiracy? = nil, paths: Int = 4) {
    population = Population(
      census, conspiracy: conspiracy, paths: paths, wall: wall, chance: chance.stream(0x706f_7075))
  }

  /// Look-ups that have ended since this was last asked.
  public mutating func takeFinishedLookups() -> [FinishedLookup] {
    defer { population?.finished.removeAll() }
    return population?.finished ?? []
  }

  /// The host of a member, which is woken first if it sleeps. It has been running for long: its table is
  /// full, and its record was given out.
  public mutating func host(of member: MemberID) -> HostID {
    guard var population else { preconditionFailure("a world with a population") }
    if let known = population.awake[member] { return known }
    // Not copied while it is changed.
    self.population = nil
    var draw = population.chance.stream(UInt64(member.number))
    let settled = SettledNode(member, in: population.census, &population.archive, now: now, chance: &draw)
    let record = population.archive.record(of: member, in: population.census)
    let plan = plan(of: member, population)
    self.population = population
    let id = addHost(plan)
    self.population?.awake[member] = id
    hosts[id.number].recordSequence = 1
    with(id) { node, now in
      node.restore(settled.snapshot, now: now)
      node.resumeOwnRecord(record)
    }
    return id
  }

  /// The host of a member that begins with nothing, and that nobody knows.
  public mutating func newcomer(_ member: MemberID) -> HostID {
    guard let population else { preconditionFailure("a world with a population") }
    let id = addHost(plan(of: member, population))
    self.population?.awake[member] = id
    return id
  }

  private func plan(of member: MemberID, _ population: Population) -> HostPlan {
    var plan = HostPlan(
      identity: .standIn(population.census.publicKey(of: member)),
      endpoint: population.census.endpoint(of: member))
    plan.serviceType = .lightPublic
    plan.lookupPaths = population.paths
    return plan
  }

  /// Keeps what came of a look-up. Whatever was found must be what its owner signed.
  mutating func note(_ event: NodeEvent, at id: HostID) {
    guard population != nil, case .lookupFinished(let lookup, let outcome) = event else { return }
    if case .found(let record, _, _) = outcome, !StandIn.hasSigned(record) {
      monitor.broken(.authenticity, "host \(id.number) believes a record that nobody signed", now: now)
    }
    population?.finished.append(FinishedLookup(host: id, lookup: lookup, outcome: outcome, at: now))
  }

  /// A datagram for an address that no host is at: a sleeper's, a liar's, or nobody's.
  mutating func arriveElsewhere(_ flight: Flight) {
    guard let population else { return }
    if population.liars[flight.destination] != nil { return tell(flight) }
    if let member = population.census.member(at: flight.destination) {
      guard member.number < population.census.founders, population.awake[member] == nil else { return }
      guard population.census.isLiar(member) else {
        return deliver(flight.datagram, to: host(of: member), from: flight.source)
      }
      let liar = Liar(
        population.census.publicKey(of: member), seed: UInt64(member.number), chance: population.chance,
        now: now)
      self.population?.liars[flight.destination] = liar
      return tell(flight)
    }
    guard let key = population.conspiracy?.key(at: flight.destination, population.census) else { return }
    self.population?.liars[flight.destination] = Liar(
      key.publicKey, seed: UInt64(0x6661_6b65) << 32 | UInt64(key.number), chance: population.chance, now: now
    )
    tell(flight)
  }

  /// A liar hears something, and answers as it likes.
  private mutating func tell(_ flight: Flight) {
    guard var population, var liar = population.liars[flight.destination] else { return }
    // Not copied while they are changed.
    self.population = nil
    population.liars[flight.destination] = nil
    let answers = liar.receive(flight.datagram, from: flight.source, now: now) { message, chance in
      population.conspiracy?.answer(
        message, census: population.census, archive: &population.archive, chance: &chance) ?? []
    }
    population.liars[flight.destination] = liar
    self.population = population
    for datagram in answers { inject(datagram, pretending: flight.destination, to: flight.source) }
  }
}
