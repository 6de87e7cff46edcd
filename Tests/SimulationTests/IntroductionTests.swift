import MeshCrypto
import MeshNode
import MeshWire
import Testing

@testable import Simulation

/// Two nodes behind NATs that let in nobody unasked, and a backbone that introduces them.
@Suite struct IntroductionTests {
  private struct Meeting {
    var world: World
    let a: HostID
    let b: HostID
    let backbone: HostID
    var firstByte: Duration?
  }

  private func meeting(_ one: NATKind, _ other: NATKind, seed: UInt64 = 7) -> Meeting {
    var chance = Chance(seed: seed)
    // 80 ms there and back.
    var world = World(seed: seed, usual: LinkQuality(delay: .milliseconds(40)))
    var plans = (0..<2).map { number in
      HostPlan(
        identity: .standIn(&chance), endpoint: Endpoint(.v4(0x0a00_0002 + UInt32(number) << 8), port: 40_000))
    }
    plans[0].nats = [world.addNAT(one, at: .v4(0xc612_0901))]
    plans[1].nats = [world.addNAT(other, at: .v4(0xc612_0a01))]
    var server = HostPlan(
      identity: .standIn(&chance), endpoint: Endpoint(.v4(0xc612_0101), port: 8_443))
    server.serviceType = .backbone
    let backbone = world.addHost(server)
    let (a, b) = (world.addHost(plans[0]), world.addHost(plans[1]))
    let pin = BackbonePin(keyHash: world[backbone].keyHash, endpoint: server.endpoint)
    for id in [a, b] { world.with(id) { node, now in node.setBackbones([pin], now: now) } }
    world.run(.seconds(2))
    return Meeting(world: world, a: a, b: b, backbone: backbone)
  }

  private func pair(_ meeting: inout Meeting) {
    let (a, b) = (meeting.a, meeting.b)
    meeting.world.add(a, asPeerOf: b, at: [])
    meeting.world.add(b, asPeerOf: a, at: [])
    let start = meeting.world.now
    let number = meeting.world.say(100, from: a, to: b)
    if meeting.world.run(atMost: .seconds(20), until: { $0.hasArrived(number) }) {
      meeting.firstByte = meeting.world.now - start
    }
    meeting.world.run(.seconds(5))
  }

  private func path(_ meeting: Meeting) -> PathStatus? {
    let node = meeting.world[meeting.a].node
    return node.status(now: meeting.world.now).peers.first?.path
  }

  /// nat-lab.md's matrix: whatever can be punched is direct, first byte within a second.
  @Test func whateverCanBePunchedIsDirectWithinASecond() {
    for one in NATKind.all {
      for other in NATKind.all {
        let strict = [one, other].filter { $0.filtering == .addressAndPortDependent }
        let isSymmetric = [one, other].contains { $0.mapping == .addressAndPortDependent }
        if isSymmetric, strict.count == 2 { continue }
        var meeting = meeting(one, other)
        pair(&meeting)
        let story = "\(one.mapping)/\(one.filtering) and \(other.mapping)/\(other.filtering)"
        #expect(path(meeting)?.kind == .direct, "\(story)")
        #expect(meeting.firstByte.map { $0 <= .seconds(1) } ?? false, "\(story): \(meeting.firstByte as Any)")
        #expect(meeting.world.monitor.violation == nil)
      }
    }
  }

  @Test func anIntroductionOfAStrangerIsDropped() {
    var meeting = meeting(.portRestricted, .portRestricted)
    // One side only: b never added a.
    meeting.world.add(meeting.b, asPeerOf: meeting.a, at: [])
    meeting.world.run(.seconds(5))
    let node = meeting.world[meeting.b].node
    let status = node.status(now: meeting.world.now)
    #expect((status.counters.drops[.introductionNotFromPeer] ?? 0) > 0)
    #expect(status.counters.handshakesStarted == 1, "with its backbone alone")
  }

  @Test func onlyAPinnedBackboneIntroduces() {
    var chance = Chance(seed: 3)
    var world = World(seed: 3)
    let plans = (0..<3).map { number in
      HostPlan(
        identity: .standIn(&chance), endpoint: Endpoint(.v4(0xc612_0001 + UInt32(number) << 8), port: 8_443))
    }
    let ids = plans.map { world.addHost($0) }
    // The liar is a peer of the other, and no backbone.
    world.add(ids[1], asPeerOf: ids[0], at: [plans[1].endpoint])
    world.add(ids[0], asPeerOf: ids[1], at: [plans[0].endpoint])
    world.add(ids[2], asPeerOf: ids[0], at: [])
    world.run(.seconds(2))
    world.with(ids[1]) { node, now in
      node.say(
        .introduction(
          plans[2].identity.publicKey.keyHash,
          [AnnouncedEndpoint(.reflexive, Endpoint(.v4(0xcb00_7105), port: 5_000))], wantsAnswer: true),
        to: plans[0].identity.publicKey.keyHash.peerID, now: now)
    }
    world.run(.seconds(1))
    let node = world[ids[0]].node
    #expect(node.status(now: world.now).counters.drops[.introductionNotFromPeer] == 1)
  }

  @Test func strangersWhoAskToBeIntroducedKeepNobodyElseOut() {
    var meeting = meeting(.portRestricted, .portRestricted)
    var chance = Chance(seed: 11)
    var server = meeting.world[meeting.backbone].plan
    server.endpoint = Endpoint(.v4(0xc612_0701), port: 8_443)
    let stranger = meeting.world.addHost(HostPlan(identity: .standIn(&chance), endpoint: server.endpoint))
    let pin = BackbonePin(
      keyHash: meeting.world[meeting.backbone].keyHash,
      endpoint: meeting.world[meeting.backbone].plan.endpoint)
    meeting.world.with(stranger) { node, now in node.setBackbones([pin], now: now) }
    meeting.world.run(.seconds(2))
    let (target, backbone) = (meeting.world[meeting.b].keyHash, pin.keyHash.peerID)
    for _ in 0..<19 {
      meeting.world.with(stranger) { node, now in
        node.say(.introduce(target, [], wantsAnswer: true), to: backbone, now: now)
      }
    }
    pair(&meeting)
    #expect(meeting.firstByte.map { $0 <= .seconds(1) } ?? false)
  }
}
