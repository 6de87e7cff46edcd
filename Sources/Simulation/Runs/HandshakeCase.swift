import MeshCrypto
public import MeshNode
import MeshWire

/// One seeded world of two hosts that want to talk, with everything that can go wrong going wrong for a
/// while; then nothing does, and they must.
public struct HandshakeCase: Sendable {
  public let seed: UInt64
  /// Real cryptography in place of the stand-in.
  public let isReal: Bool

  /// How long faults last.
  static let faultTime: Duration = .seconds(40)
  /// What the two have afterwards, at most: a failed attempt takes 30 s, and a packet shortens the wait for
  /// the next to 2 s.
  static let healedTime: Duration = .seconds(90)

  public init(seed: UInt64, isReal: Bool = false) {
    self.seed = seed
    self.isReal = isReal
  }

  /// What came of it.
  public struct Outcome: Sendable {
    public var violation: Violation?
    /// Whether packets passed both ways in the end, in one session.
    public var isConnected: Bool
    /// What was put in the way, for a person.
    public var story: String
    public var events: Int
    public var elapsed: Duration
    public var packetsDelivered: Int
  }

  /// What a case is made of, drawn from its seed.
  private struct Plan {
    var nat: NATKind?
    var isPublic: Bool
    var bothKnowEachOther: Bool
    /// The first knows nothing but who the second is, and looks up where.
    var looksUp: Bool
    var backboneAway: (at: Duration, length: Duration)?
    var crashes: [(at: Duration, second: Bool, downFor: Duration)] = []
    var partitions: [(at: Duration, length: Duration)] = []
    var natReboots: [Duration] = []
    /// Changes of address; the record follows.
    var moves: [(at: Duration, second: Bool)] = []
    var quality: LinkQuality
    var drift: (Int64, Int64)

    init(_ chance: inout Chance) {
      nat = chance.happens(0.5) ? chance.pick(NATKind.all) : nil
      isPublic = chance.happens(0.3)
      bothKnowEachOther = nat == nil && chance.happens(0.6)
      looksUp = chance.happens(0.3)
      if chance.happens(0.3) {
        backboneAway = (
          chance.duration(upTo: HandshakeCase.faultTime), chance.duration(upTo: .seconds(20))
        )
      }
      quality = .faulty(&chance)
      for _ in 0..<chance.index(below: 3) {
        crashes.append(
          (
            chance.duration(upTo: HandshakeCase.faultTime), chance.happens(0.5),
            chance.duration(upTo: .seconds(8))
          ))
      }
      for _ in 0..<chance.index(below: 3) {
        partitions.append(
          (chance.duration(upTo: HandshakeCase.faultTime), chance.duration(upTo: .seconds(12))))
      }
      if nat != nil {
        for _ in 0..<chance.index(below: 2) {
          natReboots.append(chance.duration(upTo: HandshakeCase.faultTime))
        }
      }
      for _ in 0..<chance.index(below: 3) {
        moves.append((chance.duration(upTo: HandshakeCase.faultTime), chance.happens(0.5)))
      }
      drift = (Int64(chance.index(below: 401)) - 200, Int64(chance.index(below: 401)) - 200)
    }

    var story: String {
      var parts = [quality.story]
      if let nat { parts.append("first behind a NAT, \(nat.mapping) mapping, \(nat.filtering) filtering") }
      if isPublic { parts.append("second is public") }
      if bothKnowEachOther { parts.append("both dial") }
      if looksUp { parts.append("the first looks the second up") }
      if let away = backboneAway { parts.append("no backbone at \(away.at) for \(away.length)") }
      for crash in crashes { parts.append("\(crash.second ? "second" : "first") crashes at \(crash.at)") }
      for move in moves { parts.append("\(move.second ? "second" : "first") moves at \(move.at)") }
      for partition in partitions { parts.append("cut at \(partition.at) for \(partition.length)") }
      return parts.joined(separator: ", ")
    }
  }

  private enum Fault {
    case crash(HostID)
    case restart(HostID)
    case cut
    case join
    case reboot(NATID)
    case backbone(isReachable: Bool)
    case move(HostID, number: UInt32)
  }

  /// Plays it from beginning to end, and tells each event of both nodes.
  public func play(telling: ((Duration, HostID, NodeEvent) -> Void)? = nil) -> Outcome {
    var chance = Chance(seed: seed)
    let plan = Plan(&chance)
    var world = World(seed: chance.next(), usual: plan.quality)
    let begin = world.now
    if let telling { world.onEvent = { at, id, event in telling(at - begin, id, event) } }
    let nat = plan.nat.map { world.addNAT($0, at: .v4(0xc612_0901)) }
    var first = HostPlan(identity: identity(&chance), endpoint: Self.endpoint(1))
    if let nat {
      first.endpoint = Endpoint(.v4(0x0a00_0002), port: 8_443)
      first.nats = [nat]
    }
    first.clock = HostClock(drift: plan.drift.0)
    var second = HostPlan(identity: identity(&chance), endpoint: Self.endpoint(2))
    second.clock = HostClock(drift: plan.drift.1)
    second.serviceType = plan.isPublic ? .lightPublic : .lightPrivate
    let (a, b) = (world.addHost(first), world.addHost(second))
    world.add(a, asPeerOf: b, at: plan.bothKnowEachOther ? [world[a].plan.endpoint] : [])
    world.add(b, asPeerOf: a, at: plan.looksUp ? [] : [world[b].plan.endpoint])
    for (id, other) in [(a, b), (b, a)] { world.publish(id, admitting: [other]) }

    for (at, fault) in faults(plan, a, b, nat) {
      chatter(&world, a, b, until: begin + at, &chance)
      apply(fault, to: &world, a, b)
    }
    chatter(&world, a, b, until: begin + Self.faultTime, &chance)
    world.heal()
    world.backbone.isReachable = true
    for id in [a, b] {
      if !world[id].isUp { world.restart(id) }
      world.publish(id, admitting: [id == a ? b : a])
    }
    let isConnected = Self.converge(&world, a, b)
    return Outcome(
      violation: world.monitor.violation, isConnected: isConnected, story: plan.story,
      events: world.eventCount, elapsed: world.now - begin, packetsDelivered: world.monitor.deliveredCount)
  }

  private func identity(_ chance: inout Chance) -> SimulatedIdentity {
    if isReal, let key = try? IdentityKey(seed: chance.bytes(IdentityKey.seedSize)) { return .real(key) }
    return .standIn(&chance)
  }

  private static func endpoint(_ number: UInt32) -> Endpoint {
    Endpoint(.v4(0xc612_0001 + number << 8), port: 8_443)
  }

  private func faults(_ plan: Plan, _ a: HostID, _ b: HostID, _ nat: NATID?) -> [(Duration, Fault)] {
    var faults: [(Duration, Fault)] = []
    for crash in plan.crashes {
      let host = crash.second ? b : a
      faults += [(crash.at, .crash(host)), (crash.at + crash.downFor, .restart(host))]
    }
    for (number, move) in plan.moves.enumerated() {
      faults.append((move.at, .move(move.second ? b : a, number: UInt32(number))))
    }
    for cut in plan.partitions { faults += [(cut.at, .cut), (cut.at + cut.length, .join)] }
    if let away = plan.backboneAway {
      faults += [
        (away.at, .backbone(isReachable: false)), (away.at + away.length, .backbone(isReachable: true)),
      ]
    }
    if let nat { faults += plan.natReboots.map { ($0, .reboot(nat)) } }
    return faults.filter { $0.0 <= Self.faultTime }.sorted { $0.0 < $1.0 }
  }

  private func apply(_ fault: Fault, to world: inout World, _ a: HostID, _ b: HostID) {
    switch fault {
    case .crash(let id): if world[id].isUp { world.crash(id) }
    case .restart(let id): if !world[id].isUp { world.restart(id) }
    case .cut: world.setGroup(1, of: b)
    case .join: world.setGroup(nil, of: b)
    case .reboot(let nat): world.reboot(nat)
    case .move(let id, let number):
      // Within its network when it is behind a NAT.
      let isInside = !world[id].plan.nats.isEmpty
      let address: UInt32 = isInside ? 0x0a00_0010 + number : 0xc612_2001 + number << 8
      world.move(id, to: Endpoint(.v4(address), port: 8_443))
      if world[id].isUp { world.publish(id, admitting: [id == a ? b : a]) }
    case .backbone(let isReachable): world.backbone.isReachable = isReachable
    }
  }

  /// Both talk, every two seconds or so, whether they are heard or not.
  private func chatter(
    _ world: inout World, _ a: HostID, _ b: HostID, until end: Instant, _ chance: inout Chance
  ) {
    while world.now < end, world.monitor.violation == nil {
      for (from, to) in [(a, b), (b, a)] where world[from].isUp && chance.happens(0.7) {
        world.say(chance.index(below: 1_300), from: from, to: to)
      }
      world.run(until: min(end, world.now + chance.duration(upTo: .seconds(4))))
      for id in [a, b] where world[id].isUp && chance.happens(0.1) {
        world.save(id, syncs: chance.happens(0.7))
      }
      world.inspect()
    }
  }

  /// Without faults from here on: until a packet has passed each way and both use the same session.
  static func converge(_ world: inout World, _ a: HostID, _ b: HostID) -> Bool {
    let end = world.now + Self.healedTime
    while world.now < end, world.monitor.violation == nil {
      let there = world.say(100, from: a, to: b)
      let back = world.say(100, from: b, to: a)
      world.run(.seconds(2))
      if world.hasArrived(there), world.hasArrived(back), world.agree(a, b) { return true }
    }
    return false
  }
}
