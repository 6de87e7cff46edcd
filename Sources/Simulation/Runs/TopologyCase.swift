import MeshCrypto
public import MeshNode
import MeshWire

/// One seeded world of three to five hosts, each wanting to talk to each other, with everything that can go
/// wrong going wrong for a while; then nothing does, and every pair that can connect must. Of the others
/// each side must say that it can't.
public struct TopologyCase: Sendable {
  public let seed: UInt64

  /// What it takes at most to find that nobody answers: a wait, a look-up, and an attempt of 30 s.
  static let reportTime: Duration = .seconds(90)

  public init(seed: UInt64) { self.seed = seed }

  private enum Fault {
    case crash(Int)
    case restart(Int)
    case cut(Int)
    case join(Int)
    case reboot(NATID)
    case backbone(isReachable: Bool)
    case move(Int, number: UInt32)
  }

  /// A pair by its hosts' numbers, the lower first.
  private struct Pair: Hashable {
    let a: Int
    let b: Int
  }

  /// Plays it from beginning to end, and tells each event of every node.
  public func play(
    telling: ((Duration, HostID, NodeEvent) -> Void)? = nil
  ) -> HandshakeCase.Outcome {
    var chance = Chance(seed: seed)
    let topology = Topology(&chance)
    let quality = LinkQuality.faulty(&chance)
    var world = World(seed: chance.next(), usual: quality)
    let begin = world.now
    let nats = topology.nats.enumerated().map { number, kind in
      world.addNAT(kind, at: .v4(0xc612_0901 + UInt32(number) << 8))
    }
    let hosts = assemble(&world, topology, nats, &chance)
    // Who said that a peer can't be reached.
    var reports: Set<[PeerID]> = []
    let names = hosts.map { world[$0].peerID }
    world.onEvent = { at, id, event in
      if case .handshakeFailed(let peer, _) = event { reports.insert([names[id.number], peer]) }
      telling?(at - begin, id, event)
    }
    for (at, fault) in faults(topology, nats, &chance) {
      chatter(&world, hosts, until: begin + at, &chance)
      apply(fault, to: &world, hosts, topology)
    }
    chatter(&world, hosts, until: begin + HandshakeCase.faultTime, &chance)
    world.heal()
    world.backbone.isReachable = true
    for id in hosts where !world[id].isUp { world.restart(id) }
    for id in hosts { publish(&world, id, hosts, topology) }
    var isConnected = converge(&world, hosts, topology)
    reports.removeAll()
    isConnected = isConnected && despair(&world, hosts, topology) { reports.contains($0) }
    return HandshakeCase.Outcome(
      violation: world.monitor.violation, isConnected: isConnected,
      story: "\(topology.story); \(quality.story)", events: world.eventCount, elapsed: world.now - begin,
      packetsDelivered: world.monitor.deliveredCount)
  }

  private func assemble(
    _ world: inout World, _ topology: Topology, _ nats: [NATID], _ chance: inout Chance
  ) -> [HostID] {
    let hosts = topology.places.enumerated().map { number, place in
      let address: UInt32 =
        place.behind.isEmpty ? 0xc612_0101 + UInt32(number) << 8 : 0x0a00_0002 + UInt32(number) << 8
      var plan = HostPlan(identity: .standIn(&chance), endpoint: Endpoint(.v4(address), port: 8_443))
      plan.nats = place.behind.map { nats[$0] }
      plan.serviceType = place.isPublic && place.isOpen ? .lightPublic : .lightPrivate
      plan.clock = HostClock(drift: Int64(chance.index(below: 401)) - 200)
      let id = world.addHost(plan)
      if place.isBlocked { world.block(id) }
      return id
    }
    for id in hosts {
      for other in hosts where other != id { world.add(other, asPeerOf: id, at: []) }
    }
    for id in hosts { publish(&world, id, hosts, topology) }
    return hosts
  }

  private func publish(_ world: inout World, _ id: HostID, _ hosts: [HostID], _ topology: Topology) {
    let outer = topology.places[id.number].saysOuter ? world.outerEndpoint(of: id) : nil
    world.publish(id, admitting: hosts.filter { $0 != id }, announcing: outer)
  }

  private func faults(
    _ topology: Topology, _ nats: [NATID], _ chance: inout Chance
  ) -> [(Duration, Fault)] {
    let time = HandshakeCase.faultTime
    var faults: [(Duration, Fault)] = []
    for _ in 0..<chance.index(below: 4) {
      let (at, host) = (chance.duration(upTo: time), chance.index(below: topology.places.count))
      faults += [(at, .crash(host)), (at + chance.duration(upTo: .seconds(8)), .restart(host))]
    }
    for _ in 0..<chance.index(below: 3) {
      let (at, host) = (chance.duration(upTo: time), chance.index(below: topology.places.count))
      faults += [(at, .cut(host)), (at + chance.duration(upTo: .seconds(12)), .join(host))]
    }
    for number in 0..<chance.index(below: 4) {
      let host = chance.index(below: topology.places.count)
      faults.append((chance.duration(upTo: time), .move(host, number: UInt32(number))))
    }
    if !nats.isEmpty, chance.happens(0.4) {
      faults.append((chance.duration(upTo: time), .reboot(chance.pick(nats))))
    }
    if chance.happens(0.3) {
      let at = chance.duration(upTo: time)
      let back = at + chance.duration(upTo: .seconds(20))
      faults += [(at, .backbone(isReachable: false)), (back, .backbone(isReachable: true))]
    }
    let kept = faults.enumerated().filter { $0.element.0 <= time }
    return kept.sorted { ($0.element.0, $0.offset) < ($1.element.0, $1.offset) }.map(\.element)
  }

  private func apply(_ fault: Fault, to world: inout World, _ hosts: [HostID], _ topology: Topology) {
    switch fault {
    case .crash(let host): if world[hosts[host]].isUp { world.crash(hosts[host]) }
    case .restart(let host):
      guard !world[hosts[host]].isUp else { return }
      world.restart(hosts[host])
      publish(&world, hosts[host], hosts, topology)
    case .cut(let host): world.setGroup(1, of: hosts[host])
    case .join(let host): world.setGroup(nil, of: hosts[host])
    case .reboot(let nat): world.reboot(nat)
    case .backbone(let isReachable): world.backbone.isReachable = isReachable
    case .move(let host, let number):
      // Within its network when it is behind a NAT.
      let isInside = !topology.places[host].behind.isEmpty
      let address: UInt32 = isInside ? 0x0a00_8010 + number : 0xc612_2001 + number << 8
      world.move(hosts[host], to: Endpoint(.v4(address), port: 8_443))
      if world[hosts[host]].isUp { publish(&world, hosts[host], hosts, topology) }
    }
  }

  /// All talk to all, now and then, whether they are heard or not.
  private func chatter(
    _ world: inout World, _ hosts: [HostID], until end: Instant, _ chance: inout Chance
  ) {
    while world.now < end, world.monitor.violation == nil {
      for from in hosts where world[from].isUp {
        for to in hosts where to != from && chance.happens(0.4) {
          world.say(chance.index(below: 1_300), from: from, to: to)
        }
      }
      world.run(until: min(end, world.now + chance.duration(upTo: .seconds(4))))
      for id in hosts where world[id].isUp && chance.happens(0.1) {
        world.save(id, syncs: chance.happens(0.7))
      }
      world.inspect()
    }
  }

  /// Until a packet has passed each way between all that can connect, and both of each pair use the same
  /// session.
  private func converge(_ world: inout World, _ hosts: [HostID], _ topology: Topology) -> Bool {
    let end = world.now + HandshakeCase.healedTime
    var waiting = pairs(hosts.count).filter { topology.canConnect($0.a, $0.b) }
    while !waiting.isEmpty, world.now < end, world.monitor.violation == nil {
      let said = waiting.map { pair in
        (
          world.say(100, from: hosts[pair.a], to: hosts[pair.b]),
          world.say(100, from: hosts[pair.b], to: hosts[pair.a])
        )
      }
      world.run(.seconds(2))
      waiting = zip(waiting, said).filter { pair, said in
        !(world.hasArrived(said.0) && world.hasArrived(said.1)
          && world.agree(hosts[pair.a], hosts[pair.b]))
      }.map(\.0)
      world.inspect()
    }
    return waiting.isEmpty
  }

  /// Until each side of each pair that can't connect has said so: nobody waits for ever.
  private func despair(
    _ world: inout World, _ hosts: [HostID], _ topology: Topology, _ hasReported: ([PeerID]) -> Bool
  ) -> Bool {
    let end = world.now + Self.reportTime
    var waiting = pairs(hosts.count).filter { !topology.canConnect($0.a, $0.b) }
      .flatMap { [(hosts[$0.a], hosts[$0.b]), (hosts[$0.b], hosts[$0.a])] }
    while !waiting.isEmpty, world.now < end, world.monitor.violation == nil {
      for (from, to) in waiting { world.say(100, from: from, to: to) }
      world.run(.seconds(2))
      waiting.removeAll { from, to in
        // A mapping that happens to be there may let them through.
        world.agree(from, to) || hasReported([world[from].peerID, world[to].peerID])
      }
      world.inspect()
    }
    return waiting.isEmpty
  }

  private func pairs(_ count: Int) -> [Pair] {
    (0..<count).flatMap { a in (a + 1..<count).map { Pair(a: a, b: $0) } }
  }
}
