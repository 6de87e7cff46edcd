import MeshCrypto
import MeshNode
import MeshWire
import Testing

@Suite("Peers, pings and invitations")
struct PeerTests {
  @Test("a ping measures the round trip inside the session and says whether we were added")
  func ping() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.pair(0, 1)
    net.run(.seconds(1))
    let id = net.hosts[0].node.ping(net.peerID(1), now: net.now)
    net.settle(0)
    net.run(.seconds(1))
    let answers = net.hosts[0].events.compactMap { event -> PingOutcome? in
      if case .pingFinished(id, let outcome) = event { outcome } else { nil }
    }
    guard case .answered(let roundTrip, handshake: nil, let path, peerAddedUs: true)? = answers.first else {
      Issue.record("\(answers)")
      return
    }
    #expect(roundTrip == .milliseconds(2))
    #expect(path.kind == .direct && path.endpoint == net.hosts[1].endpoint)
  }

  @Test("a ping to nobody ends, and says what was tried")
  func pingNobody() throws {
    var net = SmallInternet()
    _ = try net.addHost()
    let other = try IdentityKey().keyHash
    let endpoint = Endpoint(.v4(0xc612_ff01), port: 9)
    try net.hosts[0].node.addPeer(
      PeerEntry(peerID: other.peerID, keyHash: other, endpoints: [endpoint]), now: net.now)
    let id = net.hosts[0].node.ping(other.peerID, now: net.now)
    net.settle(0)
    net.run(.seconds(40))
    let ended = net.hosts[0].events.contains {
      if case .pingFinished(id, .noAnswer(tried: [endpoint])) = $0 { true } else { false }
    }
    #expect(ended)
  }

  @Test("identity: a second KeyHash for a pinned PeerID is refused")
  func pinned() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    let entry = PeerEntry(peerID: net.peerID(1), keyHash: net.hosts[1].identity.keyHash)
    try net.hosts[0].node.addPeer(entry, now: net.now)
    var bytes = net.hosts[1].identity.keyHash.bytes
    bytes[31] ^= 1
    let other = PeerEntry(peerID: net.peerID(1), keyHash: KeyHash(bytes))
    var node = net.hosts[0].node
    #expect(throws: PeerRefusal.otherKeyPinned) { try node.addPeer(other, now: net.now) }
    #expect(throws: PeerRefusal.ownKey) { try node.addPeer(PeerEntry(peerID: net.peerID(0)), now: net.now) }
  }

  @Test("an invitation is redeemed once, inside a session, by whoever knows the secret")
  func invitation() throws {
    var net = SmallInternet()
    for _ in 0..<3 { _ = try net.addHost() }
    let secret = Primitives.sha256([42])
    let index = net.hosts[1].node.addInvitation(
      secretHash: Primitives.sha256(secret), expires: net.wall + .seconds(3_600))
    for joiner in [0, 2] {
      try net.hosts[joiner].node.addPeer(
        PeerEntry(
          peerID: net.peerID(1), keyHash: net.hosts[1].identity.keyHash, endpoints: [net.hosts[1].endpoint]),
        now: net.now)
      net.hosts[joiner].node.redeemInvitation(at: net.peerID(1), secret: secret, now: net.now)
      net.settle(joiner)
      net.run(.seconds(2))
    }
    let accepted = [0, 2].map { joiner in
      net.hosts[joiner].events.contains {
        if case .inviteAnswered(_, .accepted) = $0 { true } else { false }
      }
    }
    #expect(accepted == [true, false])
    let redeemed = net.hosts[1].events.filter {
      if case .inviteRedeemed(index: let redeemed, by: let key, at: net.hosts[0].endpoint) = $0 {
        redeemed == index && key.keyHash == net.hosts[0].identity.keyHash
      } else {
        false
      }
    }
    #expect(redeemed.count == 1)
  }

  @Test("an expired invitation is refused")
  func expiredInvitation() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    let secret = Primitives.sha256([42])
    _ = net.hosts[1].node.addInvitation(
      secretHash: Primitives.sha256(secret), expires: net.wall + .seconds(5))
    net.run(.seconds(10))
    net.hosts[1].node.advance(to: net.now, wall: net.wall)
    try net.hosts[0].node.addPeer(
      PeerEntry(
        peerID: net.peerID(1), keyHash: net.hosts[1].identity.keyHash, endpoints: [net.hosts[1].endpoint]),
      now: net.now)
    net.hosts[0].node.redeemInvitation(at: net.peerID(1), secret: secret, now: net.now)
    net.settle(0)
    net.run(.seconds(2))
    let refused = net.hosts[0].events.contains {
      if case .inviteAnswered(_, .refused) = $0 { true } else { false }
    }
    #expect(refused)
  }

  @Test("a second redemption at one peer ends the first: neither gets the other's answer")
  func twoRedemptions() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    let secret = Primitives.sha256([42])
    _ = net.hosts[1].node.addInvitation(
      secretHash: Primitives.sha256(secret), expires: net.wall + .seconds(3_600))
    try net.hosts[0].node.addPeer(
      PeerEntry(
        peerID: net.peerID(1), keyHash: net.hosts[1].identity.keyHash, endpoints: [net.hosts[1].endpoint]),
      now: net.now)
    let ids = [Primitives.sha256([43]), secret].map {
      net.hosts[0].node.redeemInvitation(at: net.peerID(1), secret: $0, now: net.now)
    }
    net.settle(0)
    net.run(.seconds(2))
    let answers = net.hosts[0].events.compactMap { event -> (RedemptionID, InviteAnswer)? in
      if case .inviteAnswered(let id, let answer) = event { (id, answer) } else { nil }
    }
    #expect(answers.map(\.0) == ids)
    #expect(answers.map(\.1) == [.unanswered, .accepted])
  }

  @Test("an inviter that cannot be reached has not refused: its answer is none, after 30 s")
  func unansweredInvitation() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    let nowhere = try #require(Endpoint("192.0.2.77:9"))
    try net.hosts[0].node.addPeer(
      PeerEntry(peerID: net.peerID(1), keyHash: net.hosts[1].identity.keyHash, endpoints: [nowhere]),
      now: net.now)
    net.hosts[0].node.redeemInvitation(at: net.peerID(1), secret: Primitives.sha256([42]), now: net.now)
    net.settle(0)
    for (time, expected) in [(29, []), (2, [.unanswered])] as [(Int, [InviteAnswer])] {
      net.run(.seconds(time))
      let answers = net.hosts[0].events.compactMap {
        if case .inviteAnswered(_, let answer) = $0 { answer } else { nil }
      }
      #expect(answers == expected)
    }
  }

  @Test("a removed peer is a stranger: its packets are dropped")
  func removal() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.pair(0, 1)
    net.run(.seconds(1))
    let wasPeer = net.hosts[1].node.removePeer(net.peerID(0), now: net.now)
    #expect(wasPeer)
    net.transmit(
      Packet.udp(from: Packet.address(net.peerID(0)), to: Packet.address(net.peerID(1))), from: 0)
    net.run(.seconds(1))
    #expect(net.hosts[1].delivered.isEmpty)
    let isPeerStill = net.hosts[1].node.removePeer(net.peerID(0), now: net.now)
    #expect(!isPeerStill)
  }

  @Test("control class: a stranger gets a session, and none of its IP packets pass")
  func controlClass() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    // One-sided add: 0 has 1 as a peer, 1 doesn't know 0.
    try net.hosts[0].node.addPeer(
      PeerEntry(
        peerID: net.peerID(1), keyHash: net.hosts[1].identity.keyHash, endpoints: [net.hosts[1].endpoint]),
      now: net.now)
    net.settle(0)
    net.run(.seconds(1))
    net.transmit(
      Packet.udp(from: Packet.address(net.peerID(0)), to: Packet.address(net.peerID(1))), from: 0)
    net.run(.seconds(1))
    #expect(net.hosts[1].delivered.isEmpty)
    #expect(net.drops(1, .notAPeer) == 1)
    #expect(net.state(of: 1, at: 0)?.state == .unconfirmed)
  }

  @Test("both sides begin at once: both handshakes end, one session stays, and none is called failed")
  func simultaneousOpen() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.pair(0, 1)
    net.run(.seconds(60))
    for host in [0, 1] {
      let failed = net.hosts[host].events.contains { if case .handshakeFailed = $0 { true } else { false } }
      #expect(!failed)
    }
    let packet = Packet.udp(from: Packet.address(net.peerID(0)), to: Packet.address(net.peerID(1)))
    net.transmit(packet, from: 0)
    net.run(.seconds(1))
    #expect(net.hosts[1].delivered == [packet])
  }

  @Test("a session lives on through hours of rekeying with idle peers")
  func rekeying() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.pair(0, 1)
    net.run(.seconds(3_600))
    let packet = Packet.udp(from: Packet.address(net.peerID(0)), to: Packet.address(net.peerID(1)))
    net.transmit(packet, from: 0)
    net.run(.seconds(1))
    #expect(net.hosts[1].delivered == [packet])
    let lost = net.hosts[0].events.contains { if case .peerLost = $0 { true } else { false } }
    #expect(!lost)
    #expect(net.hosts[0].node.status(now: net.now).counters.rekeys > 20)
  }

  @Test("what the status counts as sent to a peer is what the peer counts as received, control traffic too")
  func bytesAddUp() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.pair(0, 1)
    net.run(.seconds(5))
    for host in 0..<2 {
      let sent = try #require(net.state(of: 1 - host, at: host)?.bytesOut)
      #expect(sent > 1_000, "greetings, answers and path probes")
      #expect(net.state(of: host, at: 1 - host)?.bytesIn == sent)
      #expect(net.state(of: 1 - host, at: host)?.packetsOut == 0)
    }
    net.transmit(
      Packet.udp(from: Packet.address(net.peerID(0)), to: Packet.address(net.peerID(1)), size: 1_352),
      from: 0)
    net.run(.milliseconds(10))
    #expect(net.state(of: 1, at: 0)?.bytesOut == net.state(of: 0, at: 1)?.bytesIn)
  }

  @Test("a peer that moved while it couldn't say so is found again by its newer record")
  func moved() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.addOneSided(0, 1)
    net.run(.seconds(2))
    #expect(net.state(of: 1, at: 0)?.path?.endpoint == net.hosts[1].endpoint)
    // The same identity at another address; the old one is silent.
    let old = net.hosts[1].endpoint
    let new = try net.addHost(identity: net.hosts[1].identity)
    try net.publish(new, admitting: [0], sequence: 2)
    net.wire = { datagram, from, to in from == old || to == old ? [] : [datagram] }
    let packet = Packet.udp(from: Packet.address(net.peerID(0)), to: Packet.address(net.peerID(1)))
    for _ in 0..<200 {
      net.transmit(packet, from: 0)
      net.run(.seconds(1))
    }
    #expect(net.state(of: 1, at: 0)?.path?.endpoint == net.hosts[new].endpoint)
  }

  @Test(
    "a peer that restarts without its sessions is connected again within half a minute of the next packet")
  func restart() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.pair(0, 1)
    net.run(.seconds(1))
    net.hosts[1].node = MeshNode(
      configuration: NodeConfiguration(region: Region("europe")!, serviceType: .lightPrivate),
      publicKey: net.hosts[1].identity.publicKey, randomSeed: Primitives.sha256([99]), now: net.now,
      wall: net.wall)
    try net.hosts[1].node.addPeer(
      PeerEntry(
        peerID: net.peerID(0), keyHash: net.hosts[0].identity.keyHash,
        inbound: InboundPermission(allowsAll: true)),
      now: net.now)
    net.settle(1)
    let packet = Packet.udp(from: Packet.address(net.peerID(0)), to: Packet.address(net.peerID(1)))
    for _ in 0..<30 {
      net.transmit(packet, from: 0)
      net.run(.seconds(1))
    }
    #expect(!net.hosts[1].delivered.isEmpty)
  }
}
