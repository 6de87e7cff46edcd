import MeshCrypto
import MeshWire
import Testing

@testable import MeshNode
@testable import MeshSession

/// Nodes whose addresses change (SMH1.md §9). Host 0 moves, host 1 stays.
@Suite("Roaming nodes")
struct RoamingNodeTests {
  private static let elsewhere = Endpoint(.v4(0xcb00_7101), port: 9_000)

  private func connected() throws -> SmallInternet {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.pair(0, 1)
    net.run(.seconds(20))
    return net
  }

  private func datagram(_ net: SmallInternet, from: Int, to: Int, size: Int = 20) -> [UInt8] {
    Packet.udp(
      from: Packet.address(net.peerID(from)), to: Packet.address(net.peerID(to)), size: size)
  }

  private func moves(_ net: SmallInternet, seenBy host: Int) -> [Endpoint] {
    net.hosts[host].events.compactMap { if case .peerMoved(_, let endpoint) = $0 { endpoint } else { nil } }
  }

  @Test("a node that had no address for a while looks at its paths as soon as it has one")
  func withoutAddress() throws {
    var net = try connected()
    func announce(_ endpoints: [Endpoint]) {
      let announced = endpoints.map { AnnouncedEndpoint(.interface, $0) }
      net.hosts[0].node.addressesChanged(announced, now: net.now)
      net.settle(0)
    }
    announce([net.hosts[0].endpoint])
    announce([])
    net.run(.seconds(5))
    net.hosts[0].moved(to: Self.elsewhere)
    announce([Self.elsewhere])
    for _ in 0..<8 {
      net.transmit(datagram(net, from: 1, to: 0), from: 1)
      net.run(.milliseconds(500))
    }
    #expect(net.state(of: 0, at: 1)?.path?.endpoint == Self.elsewhere)
  }

  @Test("a node that sends from a new address keeps its session: the peer's packets reach it there")
  func follows() throws {
    var net = try connected()
    let handshakes = net.hosts[1].node.status(now: net.now).counters.handshakesCompleted
    net.hosts[0].moved(to: Self.elsewhere)
    net.transmit(datagram(net, from: 0, to: 1), from: 0)
    net.run(.milliseconds(10))
    #expect(moves(net, seenBy: 1) == [Self.elsewhere])
    net.transmit(datagram(net, from: 1, to: 0), from: 1)
    net.run(.milliseconds(10))
    #expect(net.hosts[0].delivered.count == 1 && net.hosts[1].delivered.count == 1)
    let path = net.state(of: 0, at: 1)?.path
    #expect(path?.endpoint == Self.elsewhere)
    #expect(path?.reason == "it moved there, and answered a challenge")
    let status = net.hosts[1].node.status(now: net.now).counters
    #expect(status.handshakesCompleted == handshakes && status.peersMoved == 1)
    let slot = try #require(net.hosts[1].node.neighbours.slot(net.peerID(0)))
    let first = net.hosts[1].node.neighbours.entries[slot].candidates.first
    #expect(first == Candidate(endpoint: Self.elsewhere, origin: .lastUsed))
  }

  @Test("an initiator that moves before M4 arrives is told where it is now")
  func movesBeforeM4() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    net.wire = { datagram, _, _ in datagram[0] == 1 ? [] : [datagram] }
    try net.addOneSided(0, 1)
    net.run(.milliseconds(200))
    #expect(net.hosts[1].node.neighbours.slot(net.peerID(0)) != nil, "host 1 has the session")
    let home = net.hosts[0].endpoint
    net.hosts[0].moved(to: Self.elsewhere)
    // Nothing but M3 says where it is.
    net.wire = { datagram, from, _ in datagram[0] == 1 && from == Self.elsewhere ? [] : [datagram] }
    net.run(.seconds(5))
    let slot = try #require(net.hosts[0].node.neighbours.slot(net.peerID(1)))
    #expect(net.hosts[0].node.neighbours.entries[slot].attempt == nil, "M3 isn't sent any more")
    #expect(net.hosts[0].node.neighbours.entries[slot].current?.session.isConfirmed == true)
    let other = try #require(net.hosts[1].node.neighbours.slot(net.peerID(0)))
    #expect(net.hosts[1].node.neighbours.entries[other].current?.endpoint == home, "an M3 moves nothing")
  }

  @Test("when both are quiet, the mover's keepalive tells: within 25 s the peer knows")
  func quiet() throws {
    var net = try connected()
    net.hosts[0].moved(to: Self.elsewhere)
    net.run(.seconds(25) + .milliseconds(10))
    #expect(moves(net, seenBy: 1) == [Self.elsewhere])
    net.transmit(datagram(net, from: 1, to: 0), from: 1)
    net.run(.milliseconds(10))
    #expect(net.hosts[0].delivered.count == 1)
  }

  @Test("both move at once, and one of them sends: a handshake to where neither is would fail")
  func bothMove() throws {
    var net = try connected()
    // Host 1's old address still leads to it, as a NAT's mapping would: else nothing could.
    net.hosts[0].moved(to: Self.elsewhere)
    let third = Endpoint(.v4(0xcb00_7102), port: 9_001)
    net.hosts[1].moved(to: third, keepingOld: true)
    net.transmit(datagram(net, from: 0, to: 1), from: 0)
    net.run(.seconds(3))
    #expect(moves(net, seenBy: 1) == [Self.elsewhere] && moves(net, seenBy: 0) == [third])
    net.transmit(datagram(net, from: 1, to: 0), from: 1)
    net.transmit(datagram(net, from: 0, to: 1), from: 0)
    net.run(.milliseconds(10))
    #expect(net.hosts[0].delivered.count == 1 && net.hosts[1].delivered.count == 2)
  }

  @Test(
    "a copy of a packet from a forged source, before or after it, doesn't move the session",
    arguments: [true, false])
  func forgedSource(isFirst: Bool) throws {
    var net = try connected()
    var sent: [[UInt8]] = []
    net.wire = { datagram, from, to in
      sent.append(datagram)
      return [datagram]
    }
    let home = net.hosts[0].endpoint
    net.transmit(datagram(net, from: 0, to: 1), from: 0)
    let copy = try #require(sent.last)
    var asked = 0
    net.wire = { datagram, from, to in
      if to == Self.elsewhere { asked += datagram.count }
      return [datagram]
    }
    if isFirst { net.hand(copy, to: 1, from: Self.elsewhere) }
    net.run(.milliseconds(10))
    if !isFirst { net.hand(copy, to: 1, from: Self.elsewhere) }
    net.run(.seconds(60))
    #expect(moves(net, seenBy: 1).isEmpty && net.state(of: 0, at: 1)?.path?.endpoint == home)
    #expect(isFirst ? (42...3 * copy.count).contains(asked) : asked == 0, "\(asked) for \(copy.count)")
  }

  @Test("nothing is sent to an address that may not be dialled, whatever comes from there")
  func undialable() throws {
    var net = try connected()
    let slot = try #require(net.hosts[1].node.neighbours.slot(net.peerID(0)))
    for source in [Endpoint(.v4(0xe000_0001), port: 9), Endpoint(.v4(0x7f00_0001), port: 9)] {
      var reached = 0
      net.wire = { datagram, _, to in
        if to == source { reached += 1 }
        return [datagram]
      }
      net.hosts[1].node.challenge(slot, current: true, at: source, received: 100, now: net.now)
      net.hosts[1].node.performSessionActions(slot, current: true, net.now)
      net.settle(1)
      #expect(reached == 0)
    }
    #expect(net.drops(1, .challengeHeld) == 2)
  }

  @Test("a check or a challenge that seems to come from where nothing may go is answered nowhere")
  func undialableSource() throws {
    var net = try connected()
    let slot = try #require(net.hosts[1].node.neighbours.slot(net.peerID(0)))
    let (home, now) = (net.hosts[0].endpoint, net.now)
    let sources = [
      Endpoint(.v4(0xe000_0001), port: 9), Endpoint(.v4(0x7f00_0001), port: 9),
      Endpoint(.v4(0xcb00_7101), port: 0),
    ]
    var asked: [[UInt8]] = []
    for number in sources.indices {
      var actions: [SessionAction] = []
      net.hosts[1].node.neighbours.entries[slot].current?.session.check(
        home, id: UInt64(number), now: now, into: &actions)
      net.hosts[1].node.neighbours.entries[slot].current?.session.challenge(
        home, bytes: [UInt8](repeating: 7, count: 8), received: 1_000, now: now, into: &actions)
      asked += actions.compactMap { if case .sendElsewhere(let bytes, _) = $0 { bytes } else { nil } }
    }
    #expect(asked.count == 2 * sources.count)
    var answers = 0
    net.wire = { datagram, _, to in
      if sources.contains(where: { $0 == to }) { answers += 1 }
      return [datagram]
    }
    for (number, datagram) in asked.enumerated() { net.hand(datagram, to: 0, from: sources[number / 2]) }
    #expect(answers == 0 && net.drops(0, .sourceRefused) == UInt64(asked.count))
    net.run(.seconds(5))
    #expect(answers == 0)
  }

  @Test("a handshake that seems to come from where nothing may go is answered nowhere")
  func undialableHandshake() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    var first: [[UInt8]] = []
    net.wire = { datagram, _, _ in
      first.append(datagram)
      return []
    }
    try net.addOneSided(1, 0)
    #expect(!first.isEmpty && first.allSatisfy { $0[0] == 2 })
    let source = Endpoint(.v4(0xe000_0001), port: 9)
    var answers = 0
    net.wire = { datagram, _, to in
      if to == source { answers += 1 }
      return [datagram]
    }
    for datagram in first { net.hand(datagram, to: 0, from: source) }
    #expect(answers == 0 && net.drops(0, .sourceRefused) == UInt64(first.count))
    // From where it may go, the same is.
    for datagram in first { net.hand(datagram, to: 0, from: Self.elsewhere) }
    net.wire = { datagram, _, to in
      if to == Self.elsewhere { answers += 1 }
      return [datagram]
    }
    for datagram in first { net.hand(datagram, to: 0, from: Self.elsewhere) }
    #expect(answers > 0)
  }

  @Test("no two challenges carry the same bytes")
  func unpredictable() throws {
    var net = try connected()
    let slot = try #require(net.hosts[1].node.neighbours.slot(net.peerID(0)))
    var seen: Set<[UInt8]> = []
    for _ in 0..<50 {
      net.hosts[1].node.challenge(slot, current: true, at: Self.elsewhere, received: 100, now: net.now)
      let candidate = net.hosts[1].node.neighbours.entries[slot].current?.session.roaming.candidate
      seen.insert(try #require(candidate).bytes)
    }
    #expect(seen.count == 50 && seen.allSatisfy { $0.count == 8 })
  }

  @Test("a handshake that was begun because the old address fell silent goes to the new one")
  func aims() throws {
    var net = try connected()
    net.hosts[0].moved(to: Self.elsewhere)
    let slot = try #require(net.hosts[1].node.neighbours.slot(net.peerID(0)))
    net.hosts[1].node.beginAttempt(slot, urgent: true, hasLookedUp: true, now: net.now)
    net.settle(1)
    net.run(.milliseconds(10))
    #expect(net.hosts[1].node.neighbours.entries[slot].attempt != nil, "nobody answers at the old address")
    net.transmit(datagram(net, from: 0, to: 1), from: 0)
    net.run(.seconds(3))
    #expect(net.hosts[1].node.neighbours.entries[slot].attempt == nil)
    #expect(net.state(of: 0, at: 1)?.path?.endpoint == Self.elsewhere)
  }

  @Test("a stranger's check is answered where it says that it comes from, and nothing else goes there")
  func strangersChecksReflectNothing() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.addOneSided(1, 0)
    net.run(.seconds(5))
    let slot = try #require(net.hosts[1].node.neighbours.slot(net.peerID(0)))
    var actions: [SessionAction] = []
    let (target, now) = (net.hosts[0].endpoint, net.now)
    net.hosts[1].node.neighbours.entries[slot].current?.session.check(
      target, id: 7, now: now, into: &actions)
    guard case .sendElsewhere(let check, _) = actions.first else {
      Issue.record("no check")
      return
    }
    var reflected = 0
    net.wire = { datagram, _, to in
      if to == Self.elsewhere { reflected += datagram.count }
      return [datagram]
    }
    net.hand(check, to: 0, from: Self.elsewhere)
    net.run(.seconds(20))
    #expect(reflected == check.count)
  }
}
