import MeshCrypto
import MeshNode
import MeshWire

/// A small network for a day during which no backbone answers: public nodes and private ones behind NATs,
/// each with peers, some of which are switched off for a while or move.
public struct OutageRun: Sendable {
  public let seed: UInt64
  public let hosts: Int
  public let hours: Int

  public init(seed: UInt64, hosts: Int = 40, hours: Int = 24) {
    self.seed = seed
    self.hosts = hosts
    self.hours = hours
  }

  /// What was seen.
  public struct Outcome: Sendable {
    public var violation: Violation?
    /// Packets between pairs that had a session when the backbones went, asked for each hour, and those of
    /// them that came within ``patience``.
    public var packets = (sent: 0, arrived: 0)
    /// Look-ups for nodes that are up, and that some other node which is up has as a peer.
    public var lookups = (attempted: 0, found: 0)
    /// Those that the asker could not answer itself.
    public var asked = (attempted: 0, found: 0)
    public var events = 0
  }

  static let peersEach = 3
  static let patience = Duration.seconds(30)

  /// Plays it.
  public func play() -> Outcome {
    var chance = Chance(seed: seed).stream(0x6f75_7461)
    var world = World(seed: chance.next(), usual: LookupRun.link)
    world.populate(Census(seed: seed, founders: 0))
    let ids = (0..<hosts).map { makeHost($0, in: &world, &chance) }
    let pairs = befriend(ids, in: &world, &chance)
    for id in ids {
      world.keepPublished(id)
      world.run(.seconds(1))
    }
    world.run(.seconds(120))
    world.backbone.isReachable = false
    let standing = pairs.filter { world.agree($0.0, $0.1) }
    var outcome = Outcome()
    for hour in 0..<hours where world.monitor.violation == nil {
      disturb(ids, hour, &world, &chance)
      world.run(.seconds(3_600 - 2 * 30))
      talk(standing, &world, &outcome)
      ask(ids, &world, &chance, &outcome)
      for id in ids where world[id].isUp { world.save(id, syncs: true) }
      world.inspect()
    }
    outcome.violation = world.monitor.violation
    outcome.events = world.eventCount
    return outcome
  }

  /// Every third is private, behind a translator of its own.
  private func makeHost(_ number: Int, in world: inout World, _ chance: inout Chance) -> HostID {
    let outer = IPAddress.v4(0xc612_0001 + UInt32(number) << 8)
    var plan = HostPlan(identity: .standIn(&chance), endpoint: Endpoint(outer, port: 8_443))
    plan.clock = HostClock(drift: Int64(chance.index(below: 401)) - 200)
    if number % 3 == 2 {
      plan.nats = [world.addNAT(chance.pick(NATKind.all), at: outer)]
      plan.endpoint = Endpoint(.v4(0x0a00_0002 + UInt32(number) << 8), port: 8_443)
    } else {
      plan.serviceType = .lightPublic
    }
    return world.addHost(plan)
  }

  /// Some peers for each, at least one end of each pair public; both add each other.
  private func befriend(
    _ ids: [HostID], in world: inout World, _ chance: inout Chance
  ) -> [(HostID, HostID)] {
    let open = ids.filter { world[$0].plan.serviceType == .lightPublic }
    var pairs: [(HostID, HostID)] = []
    for id in ids {
      for _ in 0..<Self.peersEach {
        let other = chance.pick(open)
        guard other != id, !pairs.contains(where: { ($0, $1) == (id, other) || ($0, $1) == (other, id) })
        else {
          continue
        }
        pairs.append((id, other))
        world.add(other, asPeerOf: id, at: [world[other].plan.endpoint])
        world.add(id, asPeerOf: other, at: [])
      }
    }
    return pairs
  }

  /// One host loses its power for ten minutes, another moves, and a translator reboots.
  private func disturb(_ ids: [HostID], _ hour: Int, _ world: inout World, _ chance: inout Chance) {
    let victim = chance.pick(ids)
    world.crash(victim)
    world.run(.seconds(600))
    world.restart(victim)
    world.keepPublished(victim)
    let mover = chance.pick(ids.filter { world[$0].plan.nats.isEmpty })
    let address = IPAddress.v4(0xc613_0001 + UInt32(hour) << 8)
    world.move(mover, to: Endpoint(address, port: 8_443))
    world.publish(mover)
    if let nat = chance.pick(ids.filter { !world[$0].plan.nats.isEmpty }).nat(in: world) { world.reboot(nat) }
    world.run(.seconds(600))
  }

  private func talk(_ pairs: [(HostID, HostID)], _ world: inout World, _ outcome: inout Outcome) {
    var waiting = pairs.flatMap { [$0, ($0.1, $0.0)] }
    outcome.packets.sent += waiting.count
    // A link may lose one.
    for _ in 0..<3 {
      let numbers = waiting.map { world.say(100, from: $0.0, to: $0.1) }
      world.run(Self.patience / 3)
      waiting = zip(waiting, numbers).filter { !world.hasArrived($0.1) }.map(\.0)
    }
    outcome.packets.arrived += pairs.count * 2 - waiting.count
  }

  private func ask(
    _ ids: [HostID], _ world: inout World, _ chance: inout Chance, _ outcome: inout Outcome
  ) {
    _ = world.takeFinishedLookups()
    for _ in 0..<hosts / 2 {
      let (asker, target) = (chance.pick(ids), chance.pick(ids))
      guard asker != target else { continue }
      let peerID = world[target].peerID
      _ = world.with(asker) { node, now in node.lookUp(peerID, now: now) }
      outcome.lookups.attempted += 1
    }
    world.run(Self.patience)
    for finished in world.takeFinishedLookups() {
      switch finished.outcome {
      case .found(_, from: .cache, _): outcome.lookups.found += 1
      case .found:
        outcome.lookups.found += 1
        outcome.asked.attempted += 1
        outcome.asked.found += 1
      default: outcome.asked.attempted += 1
      }
    }
  }
}

extension HostID {
  fileprivate func nat(in world: World) -> NATID? { world[self].plan.nats.first }
}
