import MeshCrypto
public import MeshNode
import MeshWire

/// One seeded world of two peers behind translators of every kind, a backbone that introduces them, and four
/// relays. They meet, talk all the time, and something happens to one of them or to what they depend on.
public struct LadderCase: Sendable {
  /// What happens while they talk.
  public enum Event: String, Sendable, CaseIterable {
    case nothing
    /// The translator before one of them forgets everything.
    case natReboots
    /// One of them goes from one network to another.
    case uplinkChanges
    /// The relays that are in use lose their power.
    case relayDies
    case backboneDies
  }

  /// What came of it.
  public struct Outcome: Sendable {
    public var violation: Violation?
    public var event: Event
    /// From the owners' wish to the first packet that arrived; `nil` when none did.
    public var firstByte: Duration?
    /// Whether the translators let a direct path be punched.
    public var canBeDirect: Bool
    /// Which paths were in use at the end, one of each side.
    public var paths: [PathStatus.Kind]
    /// The longest time after the event in which nothing arrived at one of them.
    public var longestStall: Duration
    public var story: String

    public var isDirect: Bool { paths.count == 2 && paths.allSatisfy { $0 == .direct || $0 == .local } }
  }

  public let seed: UInt64

  /// 40 ms each way, and so 80 ms there and back.
  static let delay = Duration.milliseconds(40)
  static let step = Duration.milliseconds(50)

  public init(seed: UInt64) { self.seed = seed }

  /// The translators before a host, innermost first.
  private struct Place {
    var kinds: [NATKind]

    /// The worst of all of them, which is what the other end meets.
    var mapping: NATDependence { worst(kinds.map(\.mapping)) }
    var filtering: NATDependence { worst(kinds.map(\.filtering)) }

    private func worst(_ all: [NATDependence]) -> NATDependence {
      let order: [NATDependence] = [.addressAndPortDependent, .addressDependent, .endpointIndependent]
      return order.first { all.contains($0) } ?? .endpointIndependent
    }
  }

  /// Plays it from beginning to end.
  public func play(telling: ((Duration, HostID, NodeEvent) -> Void)? = nil) -> Outcome {
    var chance = Chance(seed: seed)
    let places = (0..<2).map { _ in
      Place(kinds: (0..<chance.pick([0, 1, 1, 1, 1, 2])).map { _ in chance.pick(NATKind.all) })
    }
    let loss = chance.pick([0, 0, 0.01, 0.05])
    let event = chance.pick(Event.allCases)
    var world = World(seed: chance.next(), usual: LinkQuality(delay: Self.delay, loss: loss))
    let begin = world.now
    world.onEvent = { at, id, event in telling?(at - begin, id, event) }

    let backbone = addServer(&world, 0, &chance)
    let relays = (1...4).map { addServer(&world, $0, &chance) }
    let hops = chance.pick([1, 1, 2, 3])
    var nats: [[NATID]] = []
    let pair = places.enumerated().map { number, place in
      addPeer(&world, number, place, hops, &nats, &chance)
    }
    let pin = BackbonePin(keyHash: world[backbone].keyHash, endpoint: world[backbone].plan.endpoint)
    world.run(.seconds(1))
    let records = relays.compactMap { world.publishRelay($0) }
    for id in pair {
      world.with(id) { node, now in
        node.setBackbones([pin], now: now)
        node.setRelays(records, now: now)
      }
    }
    world.run(.seconds(8))
    for id in pair { world.keepPublished(id, admitting: pair) }
    world.run(.seconds(1))

    for (id, other) in [(pair[0], pair[1]), (pair[1], pair[0])] { world.add(other, asPeerOf: id, at: []) }
    var talk = Talk(pair: pair, began: world.now)
    talk.run(&world, .seconds(20))
    let firstByte = talk.firstArrival.map { $0 - talk.began }
    talk.forgetStalls(world.now)
    apply(event, &world, pair, relays, backbone, nats, &chance)
    talk.run(&world, .seconds(30))

    let strict = places.filter { $0.filtering == .addressAndPortDependent }.count == 2
    let isSymmetric = places.contains { $0.mapping == .addressAndPortDependent }
    return Outcome(
      violation: world.monitor.violation, event: event, firstByte: firstByte,
      canBeDirect: !(isSymmetric && strict),
      paths: pair.compactMap { world.path(of: $0)?.kind }, longestStall: talk.longestStall,
      story: story(places, loss, hops, event, world, pair))
  }

  private func addServer(_ world: inout World, _ number: Int, _ chance: inout Chance) -> HostID {
    var plan = HostPlan(
      identity: .standIn(&chance), endpoint: Endpoint(.v4(0xc612_0101 + UInt32(number) << 8), port: 8_443))
    plan.serviceType = number == 0 ? .backbone : .lightPublic
    plan.relayOffer = number == 0 ? 0 : 100
    return world.addHost(plan)
  }

  private func addPeer(
    _ world: inout World, _ number: Int, _ place: Place, _ hops: Int, _ nats: inout [[NATID]],
    _ chance: inout Chance
  ) -> HostID {
    let outer: UInt32 = 0xc613_0001 + UInt32(number) << 16
    nats.append(
      place.kinds.enumerated().map { index, kind in world.addNAT(kind, at: .v4(outer + UInt32(index) << 8)) })
    let address: UInt32 = place.kinds.isEmpty ? outer : 0x0a00_0002 + UInt32(number) << 16
    var plan = HostPlan(
      identity: .standIn(&chance),
      endpoint: Endpoint(.v4(address), port: UInt16(20_000 + chance.index(below: 40_000))))
    plan.nats = nats[number]
    plan.relayHops = hops
    return world.addHost(plan)
  }

  private func apply(
    _ event: Event, _ world: inout World, _ pair: [HostID], _ relays: [HostID], _ backbone: HostID,
    _ nats: [[NATID]], _ chance: inout Chance
  ) {
    let side = chance.index(below: 2)
    switch event {
    case .nothing: break
    case .natReboots: for nat in nats[side] { world.reboot(nat) }
    case .uplinkChanges:
      // Behind a NAT within its network; without one to another address.
      let isInside = !nats[side].isEmpty
      let address: UInt32 = isInside ? 0x0a00_8010 + UInt32(side) << 16 : 0xc613_8001 + UInt32(side) << 16
      world.move(pair[side], to: Endpoint(.v4(address), port: world[pair[side]].endpoint.port))
    case .relayDies:
      let inUse = relays.filter { relay in pair.contains { world.isInUse(relay, by: $0) } }
      world.crash(inUse.isEmpty ? relays[0] : chance.pick(inUse))
    case .backboneDies: world.crash(backbone)
    }
  }

  private func story(
    _ places: [Place], _ loss: Double, _ hops: Int, _ event: Event, _ world: World, _ pair: [HostID]
  ) -> String {
    let sides = places.map { place in
      place.kinds.isEmpty
        ? "open" : place.kinds.map { "\($0.mapping)/\($0.filtering)" }.joined(separator: " behind ")
    }
    let paths = pair.map { id in
      world.path(of: id).map { "\($0.kind.rawValue) (\($0.reason))" } ?? "no session"
    }
    let world = "loss \(loss); \(hops) hops; \(event.rawValue)"
    return "\(sides.joined(separator: " and ")); \(world); \(paths.joined(separator: ", "))"
  }
}

/// Two hosts that send each other a packet every 50 ms, and what arrives.
private struct Talk {
  let pair: [HostID]
  let began: Instant
  private(set) var firstArrival: Instant?
  private(set) var longestStall = Duration.zero
  private var underWay: [[UInt64]] = [[], []]
  private var lastArrival: [Instant]

  init(pair: [HostID], began: Instant) {
    self.pair = pair
    self.began = began
    lastArrival = [began, began]
  }

  mutating func forgetStalls(_ now: Instant) {
    longestStall = .zero
    lastArrival = [now, now]
  }

  mutating func run(_ world: inout World, _ duration: Duration) {
    let end = world.now + duration
    while world.now < end, world.monitor.violation == nil {
      underWay[1].append(world.say(200, from: pair[0], to: pair[1]))
      underWay[0].append(world.say(200, from: pair[1], to: pair[0]))
      world.run(LadderCase.step)
      for side in 0..<2 { note(&world, side) }
    }
  }

  private mutating func note(_ world: inout World, _ side: Int) {
    let before = underWay[side].count
    underWay[side].removeAll { world.hasArrived($0) }
    if underWay[side].count < before {
      lastArrival[side] = world.now
      firstArrival = firstArrival ?? world.now
    }
    // What is older is lost.
    if underWay[side].count > 200 { underWay[side].removeFirst(underWay[side].count - 200) }
    longestStall = max(longestStall, world.now - lastArrival[side])
  }
}

extension World {
  /// The path that a host's packets to its first peer take.
  func path(of id: HostID) -> PathStatus? {
    hosts[id.number].node.status(now: localTime(id)).peers.first?.path
  }

  /// Whether a relay has a circuit of this host.
  fileprivate func isInUse(_ relay: HostID, by id: HostID) -> Bool {
    hosts[id.number].node.circuitRelays.contains(hosts[relay.number].keyHash)
  }
}
