import MeshCrypto
import MeshPaths
import MeshWire
import Testing

@testable import MeshNode

/// One of two backbones names wrong addresses of a peer, the other right ones (protocol.md §6).
@Suite("Wrong candidates of a backbone")
struct WrongCandidatesTests {
  /// What one node sends to addresses that the liar made up, and a NAT before the peer.
  private final class Seen {
    var isOpen = false
    /// Datagrams to each made-up address.
    var wrong: [Endpoint: Int] = [:]
    var undialable = 0

    var total: Int { wrong.values.reduce(0, +) }
  }

  /// 198.51.100.0/24 and more behind it: nobody is there.
  private static func madeUp(_ number: Int) -> Endpoint {
    Endpoint(.v4(0xc633_6400 + UInt32(number)), port: 1_000)
  }

  private static let undialable = [
    Endpoint(.v4(0xe000_0001), port: 9), Endpoint(.v4(0x7f00_0001), port: 9),
    Endpoint(.v4(0xcb00_7101), port: 0),
  ]

  private static func isMadeUp(_ endpoint: Endpoint) -> Bool {
    guard case .v4(let address) = endpoint.address else { return false }
    return address >= 0xc633_6400 && address < 0xc634_0000
  }

  private func say(
    _ endpoints: [Endpoint], of peer: Int, by backbone: Int, to host: Int, _ net: inout SmallInternet
  ) {
    let announced = endpoints.map { AnnouncedEndpoint(.reflexive, $0) }
    net.hosts[backbone].node.say(
      .introduction(net.hosts[peer].identity.keyHash, announced, wantsAnswer: true), to: net.peerID(host),
      now: net.now)
    net.settle(backbone)
  }

  private func pin(_ backbones: [Int], to host: Int, _ net: inout SmallInternet) {
    let pins = backbones.map {
      BackbonePin(keyHash: net.hosts[$0].identity.keyHash, endpoint: net.hosts[$0].endpoint)
    }
    net.hosts[host].node.setBackbones(pins, now: net.now)
    net.settle(host)
  }

  /// Names other addresses every 300 ms, some of which may not be dialled.
  private func flood(
    _ time: Duration, of peer: Int, by liar: Int, to host: Int, with more: [Endpoint] = [],
    _ net: inout SmallInternet, from start: Int = 0
  ) {
    let end = net.now + time
    var next = start
    while net.now < end {
      let named = more + Self.undialable + (0..<5).map { Self.madeUp(next + $0) }
      say(Array(named.prefix(RecordBody.endpointLimit)), of: peer, by: liar, to: host, &net)
      next += 5
      net.run(.milliseconds(301))
    }
  }

  @Test("without a session: the honest backbone's word leads to the peer within a second")
  func dialing() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    for _ in 0..<2 { _ = try net.addHost(.backbone) }
    // Somebody else is at one of the wrong addresses.
    let other = try net.addHost(.lightPublic, at: .v4(0xc633_ff01))
    let (a, b, liar, honest) = (0, 1, 2, 3)
    pin([liar, honest], to: a, &net)
    pin([honest], to: b, &net)
    net.run(.seconds(2))
    let (here, there) = (net.hosts[a].endpoint, net.hosts[b].endpoint)
    let seen = Seen()
    net.wire = { datagram, from, to in
      if from == here, to == there { seen.isOpen = true }
      if from == here, Self.undialable.contains(where: { $0 == to }) { seen.undialable += 1 }
      // The first fragment of M1.
      if from == here, Self.isMadeUp(to), datagram[0] == 2, datagram[3] == 0 {
        seen.wrong[to, default: 0] += 1
      }
      // The peer gets in only after this node has sent to it.
      return from == there && to == here && !seen.isOpen ? [] : [datagram]
    }
    func add(_ host: Int, _ peer: Int) throws {
      let identity = net.hosts[peer].identity.keyHash
      try net.hosts[host].node.addPeer(PeerEntry(peerID: identity.peerID, keyHash: identity), now: net.now)
      net.settle(host)
    }
    try add(a, b)
    flood(.seconds(3), of: b, by: liar, to: a, with: [net.hosts[other].endpoint], &net)
    #expect(net.hosts[a].node.neighbours.entries.contains { $0.attempt != nil })
    #expect(seen.wrong.count >= 8)
    try add(b, a)
    net.run(.seconds(1))
    #expect(net.state(of: b, at: a)?.path?.endpoint == there)
    #expect(net.state(of: b, at: a)?.state == .connected)
    #expect(seen.undialable == 0)
    #expect(seen.wrong.count <= NodeLimits.candidates)
    #expect(seen.wrong.values.allSatisfy { $0 <= Attempt.hintedRounds + 1 }, "\(seen.wrong)")
    // Nobody else than the peer can be it.
    let status = net.hosts[other].node.status(now: net.now)
    #expect(status.controlSessions == 0 && status.counters.handshakesCompleted == 0)
    #expect((seen.wrong[net.hosts[other].endpoint] ?? 0) > 0)
  }

  @Test("an address that a backbone names again and again gets six first messages in an attempt at most")
  func firstMessages() throws {
    var net = SmallInternet()
    _ = try net.addHost()
    let liar = try net.addHost(.backbone)
    pin([liar], to: 0, &net)
    net.run(.seconds(2))
    let peer = try net.addHost()
    let (here, wrong) = (net.hosts[0].endpoint, Self.madeUp(0))
    let identity = net.hosts[peer].identity.keyHash
    try net.hosts[0].node.addPeer(PeerEntry(peerID: identity.peerID, keyHash: identity), now: net.now)
    net.settle(0)
    let seen = Seen()
    net.wire = { datagram, from, to in
      if from == here, to == wrong, datagram[0] == 2, datagram[3] == 0 { seen.wrong[to, default: 0] += 1 }
      return [datagram]
    }
    for _ in 0..<80 {
      say([wrong], of: peer, by: liar, to: 0, &net)
      net.run(.milliseconds(350))
    }
    #expect(seen.total > 3 && seen.total <= Attempt.hintedRounds + 1)
  }

  @Test(
    "over a relay: the honest backbone's word leads to a direct path within a second",
    arguments: [Duration.seconds(1), .seconds(60)])
  func checking(flooded: Duration) throws {
    var world = try RelayInternet(relays: 1, hops: 1)
    let (a, b) = (world.a, world.b)
    let (liar, honest) = (try world.net.addHost(.backbone), try world.net.addHost(.backbone))
    let (here, old) = (world.net.hosts[a].endpoint, world.net.hosts[b].endpoint)
    // Where the peer is from some moment on; it isn't told to anybody but by the honest backbone.
    let new = Endpoint(.v4(0xcb00_7120), port: 9_000)
    let seen = Seen()
    world.net.wire = { datagram, from, to in
      if from == here, to == new { seen.isOpen = true }
      if from == here, Self.undialable.contains(where: { $0 == to }) { seen.undialable += 1 }
      if from == here, Self.isMadeUp(to) { seen.wrong[to, default: 0] += 1 }
      if (from == here && to == old) || (from == old && to == here) { return [] }
      return from == new && to == here && !seen.isOpen ? [] : [datagram]
    }
    // The peer itself has none, so that it doesn't know where it is seen, and can't say so over the relay.
    pin([liar, honest], to: a, &world.net)
    try world.begin()
    world.net.run(.seconds(20))
    #expect(world.net.state(of: b, at: a)?.path?.kind == .relayed)
    world.net.hosts[b].moved(to: new, keepingOld: true)
    world.net.run(.seconds(30))
    #expect(world.net.state(of: b, at: a)?.path?.kind == .relayed)
    seen.wrong = [:]
    let start = world.net.now
    flood(flooded, of: b, by: liar, to: a, &world.net)
    let took = Int((world.net.now - start).components.seconds)
    #expect(world.net.state(of: b, at: a)?.path?.kind == .relayed && !seen.isOpen)
    say([new], of: b, by: honest, to: a, &world.net)
    world.net.run(.seconds(1))
    #expect(world.net.state(of: b, at: a)?.path?.kind == .direct)
    #expect(world.net.state(of: b, at: a)?.path?.endpoint == new)
    // Of what may go to where backbones say that a peer is, each of two has half.
    #expect(seen.total <= PathLimits.unansweredChecks / 2 + took / 2 + 1)
    #expect(seen.total > 16 && seen.undialable == 0)
    let withheld = world.net.hosts[a].node.status(now: world.net.now).counters.checksWithheld
    #expect((withheld > 0) == (flooded > .seconds(30)))
  }

  @Test("a backbone that names the right address again and again doesn't use up the honest one's word of it")
  func renaming() throws {
    var table = PathTable()
    table.backbones = 2
    let (liar, honest) = (try IdentityKey().keyHash.peerID, try IdentityKey().keyHash.peerID)
    var now = Instant(nanoseconds: 1_000_000_000)
    let relay = Endpoint(CircuitNumber(number: 1))
    table.established(on: relay, .relayed(hops: 1), now: now)
    let right = Endpoint(.v4(0xcb00_7101), port: 9)
    var id: UInt64 = 0
    var checks = 0
    func advance() {
      var actions: [PathAction] = []
      table.advance(
        to: now,
        nextID: {
          id += 1
          return id
        }, into: &actions)
      for case .check(_, right) in actions { checks += 1 }
    }
    for round in 0..<400 {
      for number in 0..<7 { table.named(Self.madeUp(round * 7 + number), .direct, by: liar, now: now) }
      table.named(right, .direct, by: liar, now: now)
      advance()
      now = now + .milliseconds(301)
    }
    checks = 0
    // Just before the honest one, each time, so that it can't begin anew.
    for _ in 0..<5 {
      table.named(right, .direct, by: liar, now: now)
      advance()
      table.named(right, .direct, by: honest, now: now)
      advance()
      now = now + .milliseconds(2_100)
    }
    #expect(checks >= 5)
  }

  @Test("what one backbone names stays a candidate, whatever another names, until it is dialled")
  func candidates() throws {
    let (liar, honest) = (try IdentityKey().keyHash.peerID, try IdentityKey().keyHash.peerID)
    var neighbour = Neighbour(peerID: try IdentityKey().keyHash.peerID, now: Instant(nanoseconds: 0))
    for number in 0..<40 { neighbour.addCandidate(Self.madeUp(number), .introduced, by: liar) }
    let right = Endpoint(.v4(0xcb00_7101), port: 9)
    neighbour.addCandidate(right, .introduced, by: honest)
    for number in 40..<80 { neighbour.addCandidate(Self.madeUp(number), .introduced, by: liar) }
    #expect(neighbour.candidates.contains { $0.endpoint == right })
    #expect(neighbour.candidates.count == NodeLimits.namedCandidates)
    // The liar named this one first, and the other names it as well: then it isn't the liar's to push out.
    let second = Endpoint(.v4(0xcb00_7102), port: 9)
    neighbour.addCandidate(second, .introduced, by: liar)
    neighbour.addCandidate(second, .introduced, by: honest)
    for number in 80..<120 { neighbour.addCandidate(Self.madeUp(number), .introduced, by: liar) }
    #expect(neighbour.candidates.contains { $0.endpoint == second })
    // Nor does it become so when the liar names it after the other.
    let third = Endpoint(.v4(0xcb00_7103), port: 9)
    neighbour.addCandidate(third, .introduced, by: honest)
    neighbour.addCandidate(third, .introduced, by: liar)
    for number in 120..<160 { neighbour.addCandidate(Self.madeUp(number), .introduced, by: liar) }
    #expect(neighbour.candidates.contains { $0.endpoint == third })
  }

  @Test(
    "naming what another backbone has named doesn't make it one's own to push out", arguments: [true, false])
  func paths(isAgain: Bool) throws {
    var table = PathTable()
    table.backbones = 2
    let (liar, honest) = (try IdentityKey().keyHash.peerID, try IdentityKey().keyHash.peerID)
    var now = Instant(nanoseconds: 1_000_000_000)
    table.established(on: Endpoint(CircuitNumber(number: 1)), .relayed(hops: 1), now: now)
    let right = Endpoint(.v4(0xcb00_7101), port: 9)
    table.named(right, .direct, by: honest, now: now)
    // A burst later, when it is the liar alone who asks for another.
    if isAgain { now = now + .seconds(3) }
    table.named(right, .direct, by: liar, now: now)
    for number in 0..<40 { table.named(Self.madeUp(number), .direct, by: liar, now: now) }
    #expect(table.paths.count == PathLimits.paths)
    let others = (0..<3).map { Endpoint(.v4(0xcb00_7110 + UInt32($0)), port: 9) }
    table.named(others[0], .direct, by: honest, now: now)
    table.named(others[1], .direct, now: now)
    table.named(others[2], .direct, by: honest, now: now)
    for endpoint in others + [right] { #expect(table.knows(endpoint)) }
  }

  @Test("the targets of a handshake under way belong to all who named them")
  func targets() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    for _ in 0..<2 { _ = try net.addHost(.backbone) }
    let (liar, honest) = (2, 3)
    pin([liar, honest], to: 0, &net)
    net.run(.seconds(2))
    let (here, right) = (net.hosts[0].endpoint, net.hosts[1].endpoint)
    // Nobody answers at first.
    net.wire = { datagram, from, to in from == here && to == right ? [] : [datagram] }
    let peer = net.hosts[1].identity.keyHash
    try net.hosts[0].node.addPeer(PeerEntry(peerID: peer.peerID, keyHash: peer), now: net.now)
    net.settle(0)
    func name(_ endpoints: [Endpoint], by backbone: Int) {
      say(endpoints, of: 1, by: backbone, to: 0, &net)
      net.run(.milliseconds(310))
    }
    name([right] + (0..<7).map(Self.madeUp), by: liar)
    name((8..<16).map(Self.madeUp), by: liar)
    name([right], by: honest)
    name([Endpoint(.v4(0xcb00_7110), port: 9)], by: honest)
    name((16..<24).map(Self.madeUp), by: liar)
    let slot = try #require(net.hosts[0].node.neighbours.slot(peer.peerID))
    let targets = net.hosts[0].node.neighbours.entries[slot].attempt?.targets ?? []
    #expect(targets.contains { $0.endpoint == right })
    net.wire = { datagram, _, _ in [datagram] }
    net.run(.seconds(10))
    #expect(net.state(of: 1, at: 0)?.path?.endpoint == right)
  }

  @Test("two backbones that lie cannot have their addresses take each other's place without end")
  func colluding() throws {
    let liars = [try IdentityKey().keyHash.peerID, try IdentityKey().keyHash.peerID]
    var places: [Candidate] = []
    var replaced = 0
    for number in 0..<1_000 {
      let liar = liars[number % 2]
      if places.count >= 15 {
        guard let crowding = Namers.crowding(places.map(\.namers), for: liar) else { continue }
        places.remove(at: crowding)
        replaced += 1
      }
      places.append(Candidate(endpoint: Self.madeUp(number), origin: .introduced, backbone: liar))
    }
    #expect(replaced <= 15)
  }
}
