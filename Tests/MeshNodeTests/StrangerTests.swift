import Kademlia
import MeshCrypto
import MeshWire
import Testing

@testable import MeshNode

@Suite("What authenticated strangers can do")
struct StrangerTests {
  @Test("a KeyHash that a hint claims is no pin: the owner's word and the true record win")
  func hintIsNoPin() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    let true1 = net.hosts[1].identity.keyHash
    var bytes = true1.bytes
    bytes[31] ^= 1
    let claimed = try #require(KeyHash(bytes))
    let hint = ContactHint(keyHash: claimed, endpoint: Endpoint(.v4(0xc612_ee01), port: 1), sequence: 0)
    net.hosts[0].node.reach(hint, with: .ping(ControlMessage.RequestID(number: 1)), now: net.now)
    net.settle(0)
    try net.addOneSided(0, 1)
    net.run(.seconds(3))
    #expect(net.state(of: 1, at: 0)?.keyHash == true1)
    #expect(net.state(of: 1, at: 0)?.path?.endpoint == net.hosts[1].endpoint)
  }

  @Test("hinted endpoints never come before an owner's, are few, and go after a failed attempt")
  func hintsComeLast() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.addOneSided(0, 1)
    for number in 1...40 as ClosedRange<UInt32> {
      let hint = ContactHint(
        keyHash: net.hosts[1].identity.keyHash, endpoint: Endpoint(.v4(0xc612_ee00 + number), port: 1),
        sequence: 0)
      net.hosts[0].node.reach(hint, with: .ping(ControlMessage.RequestID(number: 1)), now: net.now)
    }
    let slot = try #require(net.hosts[0].node.neighbours.slot(net.peerID(1)))
    let candidates = net.hosts[0].node.neighbours.entries[slot].candidates
    #expect(candidates.first?.endpoint == net.hosts[1].endpoint)
    #expect(candidates.count { $0.origin == .hint } == NodeLimits.hintedCandidates)
  }

  @Test("strangers of one network get a bounded share of the sessions, and peers still get in")
  func prefixShare() throws {
    var net = SmallInternet()
    let server = try net.addHost()
    for number in 1...18 as ClosedRange<UInt32> {
      let stranger = try net.addHost(at: .v4(0xc633_6400 + number))
      try net.addOneSided(stranger, server)
    }
    net.run(.seconds(3))
    #expect(
      net.hosts[server].node.status(now: net.now).controlSessions == NodeLimits.controlSessionsPerPrefix)
    #expect(net.drops(server, .handshakeRefused) > 0)
    // One that the server has as a peer is no stranger.
    try net.addOneSided(server, 18)
    net.run(.seconds(10))
    #expect(net.state(of: 18, at: server)?.path != nil)
  }

  @Test("requests over twenty a second are dropped and counted")
  func requestBudget() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.pair(0, 1)
    net.run(.seconds(2))
    let slot = try #require(net.hosts[0].node.neighbours.slot(net.peerID(1)))
    for number in 0..<60 as Range<UInt32> {
      let request = ControlMessage.findNode(ControlMessage.RequestID(number: number), target: net.peerID(0))
      net.hosts[0].node.sendControl(request, slot: slot, now: net.now)
    }
    net.settle(0)
    net.run(.milliseconds(100))
    #expect(net.drops(1, .controlOverBudget) == 40)
  }

  @Test("an announcement of another node's record is refused")
  func foreignAnnouncement() throws {
    var net = SmallInternet()
    for _ in 0..<3 { _ = try net.addHost() }
    try net.pair(0, 1)
    net.run(.seconds(2))
    let foreign = try net.record(of: 2)
    let slot = try #require(net.hosts[0].node.neighbours.slot(net.peerID(1)))
    net.hosts[0].node.sendControl(.announce(.init(bundle: foreign.bundle)), slot: slot, now: net.now)
    net.settle(0)
    net.run(.seconds(1))
    #expect(net.drops(1, .controlMalformed) == 1)
    #expect(net.hosts[1].node.status(now: net.now).cachedRecords == 0)
  }

  @Test("an answer counts only from whom it was asked, and once")
  func foreignAnswer() {
    var requests = RequestTable()
    let asked = PeerID([UInt8](repeating: 1, count: 20))!
    let other = PeerID([UInt8](repeating: 2, count: 20))!
    let now = Instant(nanoseconds: 0)
    let kind = RequestTable.Kind.redeemInvite(RedemptionID(number: 1))
    let id = requests.add(kind, to: asked, now: now)!
    #expect(requests.take(id, from: other) == nil)
    #expect(requests.take(id, from: asked)?.kind == kind)
    #expect(requests.take(id, from: asked) == nil)
  }

  @Test("private endpoints: FIND_NODE names a private node only to those whom it admitted")
  func hintsOfPrivateNodes() throws {
    var net = SmallInternet()
    for _ in 0..<3 { _ = try net.addHost() }
    for (admitted, expected) in [([0, 1], 1), ([1], 0)] {
      let record = try net.record(of: 2, sequence: expected == 1 ? 1 : 2, admitting: admitted)
      net.hosts[2].node.setOwnRecord(record, now: net.now)
      net.settle(2)
      try net.pair(1, 2)
      try net.pair(0, 1)
      net.run(.seconds(3))
      net.settle(1)
      let slot = try #require(net.hosts[1].node.neighbours.slot(net.peerID(0)))
      var seen: [[UInt8]] = []
      net.wire = { datagram, _, _ in
        seen.append(datagram)
        return [datagram]
      }
      net.hosts[1].node.receiveControl(
        ControlMessage.findNode(ControlMessage.RequestID(number: 5), target: net.peerID(2)).encoded,
        slot: slot,
        now: net.now)
      net.settle(1)
      // Transport header and tag 32, kind 1, type, id and count 6, and 59 for each hint.
      #expect(seen.map(\.count) == [39 + 59 * expected])
      net.wire = { datagram, _, _ in [datagram] }
    }
  }

  @Test("who may not be named takes nobody's place in an answer: twenty good hints are found behind eighty")
  func hintsBehindPrivateNodes() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.pair(0, 1)
    net.run(.seconds(1))
    let target = net.peerID(1)
    // In the order of their distance: 30 that admit nobody, then 25 that admit the asker.
    let identities = try (0..<55).map { _ in try IdentityKey() }
      .sorted { $0.keyHash.peerID.distance(to: target) < $1.keyHash.peerID.distance(to: target) }
    var contacts: [PeerID] = []
    for (number, identity) in identities.enumerated() {
      let endpoint = Endpoint(.v4(0x0b00_0001 + UInt32(number) << 16), port: 8_443)
      let record = try net.record(
        of: identity, admitting: number < 30 ? [] : [net.hosts[1].identity.keyHash], endpoint: endpoint)
      _ = try net.hosts[0].node.records.store(record, keeping: [])
      let contact = Contact(keyHash: identity.keyHash, endpoint: endpoint, sequence: 1, lastSeen: net.now)
      _ = net.hosts[0].node.table.insert(contact, now: net.now)
    }
    let known = Set(net.hosts[0].node.table.contacts.map(\.peerID))
    contacts = identities.dropFirst(30).map(\.keyHash.peerID).filter { known.contains($0) }
    let named = net.hosts[0].node.hints(near: target, for: target).map(\.peerID)
    #expect(named == Array(contacts.prefix(20)) && !named.isEmpty)
  }

  @Test("on a path that drops large datagrams, idle sessions stay as they are")
  func smallPath() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    net.wire = { datagram, _, _ in datagram.count > 1_400 ? [] : [datagram] }
    try net.pair(0, 1)
    net.run(.seconds(5))
    let before = net.hosts[0].node.status(now: net.now).counters.handshakesCompleted
    net.run(.seconds(600))
    #expect(net.hosts[0].node.status(now: net.now).counters.handshakesCompleted == before)
  }

  @Test("an invitation whose answer is lost is answered again to the same node")
  func lostAnswer() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    let secret = Primitives.sha256([42])
    _ = net.hosts[1].node.addInvitation(
      secretHash: Primitives.sha256(secret), expires: net.wall + .seconds(3_600))
    try net.addOneSided(0, 1)
    net.run(.seconds(2))
    // Everything from the inviter is lost for five seconds.
    let inviter = net.hosts[1].endpoint
    net.wire = { datagram, from, _ in from == inviter ? [] : [datagram] }
    net.hosts[0].node.redeemInvitation(at: net.peerID(1), secret: secret, now: net.now)
    net.settle(0)
    net.run(.seconds(5))
    net.wire = { datagram, _, _ in [datagram] }
    net.run(.seconds(5))
    let accepted = net.hosts[0].events.contains {
      if case .inviteAnswered(_, .accepted) = $0 { true } else { false }
    }
    #expect(accepted)
    let redeemed = net.hosts[1].events.count { if case .inviteRedeemed = $0 { true } else { false } }
    #expect(redeemed == 1)
  }
}
