import Kademlia
import MeshCrypto
import MeshWire
import Testing

@testable import MeshNode

@Suite("What control messages may do, and how many")
struct ControlRuleTests {
  private let now = Instant(nanoseconds: 1_000_000_000)

  private func connected(_ hosts: Int = 2) throws -> (net: SmallInternet, slot: Int) {
    var net = SmallInternet()
    for _ in 0..<hosts { _ = try net.addHost() }
    try net.pair(0, 1)
    net.run(.seconds(3))
    return (net, try #require(net.hosts[0].node.neighbours.slot(net.peerID(1))))
  }

  @Test("an answer has to be to an invitation, and to this one: a late one decides no other")
  func kindOfAnswer() throws {
    var (net, slot) = try connected()
    let ours = RedemptionID(number: 2)
    net.hosts[0].node.neighbours.entries[slot].redeeming = Redeeming(
      id: ours, secret: [UInt8](repeating: 1, count: 32), until: net.now + .seconds(30),
      next: net.now + .seconds(20))
    func answered() -> Bool {
      net.hosts[0].events.contains { if case .inviteAnswered(_, .accepted) = $0 { true } else { false } }
    }
    for (kind, expected) in [
      (.ping(PingID(number: 1)), false), (.redeemInvite(RedemptionID(number: 1)), false),
      (.redeemInvite(ours), true),
    ] as [(RequestTable.Kind, Bool)] {
      let id = net.hosts[0].node.requests.add(kind, to: net.peerID(1), now: net.now)
      let answer = ControlMessage.inviteAnswer(try #require(id), accepted: true)
      net.hosts[0].node.receiveControl(answer.encoded, slot: slot, now: net.now)
      net.settle(0)
      #expect(answered() == expected)
    }
    #expect(net.drops(0, .controlMalformed) == 1)
  }

  @Test("an invitation that seems to have expired is not forgotten: the clock may be set right by a login")
  func clockSetRight() throws {
    var table = InvitationTable()
    let (expires, later) = (WallTime(secondsSinceEpoch: 5), WallTime(secondsSinceEpoch: 10))
    let secret = Primitives.sha256([42])
    let keyHash = try IdentityKey().keyHash
    _ = table.add(secretHash: Primitives.sha256(secret), expires: expires, at: later)
    _ = table.add(secretHash: [2], expires: expires, at: later)
    #expect(table.redeem(secret, by: keyHash, at: expires) == .refused)
    #expect(table.redeem(secret, by: keyHash, at: WallTime(secondsSinceEpoch: 4)) == .accepted(index: 1))
    for index in 3..<(2 + NodeLimits.invitations) {
      #expect(table.add(secretHash: [3], expires: expires, at: expires + .seconds(-1)) == index)
    }
    #expect(table.add(secretHash: [3], expires: expires, at: expires + .seconds(-1)) == nil)
    #expect(table.add(secretHash: [3], expires: later, at: expires) == 2 + NodeLimits.invitations)
  }

  @Test("requests that wait for their answers are bounded, and go after ten seconds")
  func requests() throws {
    var requests = RequestTable()
    let peerID = try IdentityKey().keyHash.peerID
    let redeem = RequestTable.Kind.redeemInvite(RedemptionID(number: 1))
    let first = requests.add(redeem, to: peerID, now: now)
    for _ in 1..<RequestTable.capacity { _ = requests.add(redeem, to: peerID, now: now) }
    let late = now + .seconds(10)
    #expect(requests.add(redeem, to: peerID, now: late + .nanoseconds(-1)) == nil)
    #expect(requests.add(redeem, to: peerID, now: late) != nil)
    #expect(requests.take(try #require(first), from: peerID) == nil)
  }

  @Test("messages that wait for a session are bounded and counted")
  func queue() throws {
    var net = SmallInternet()
    _ = try net.addHost()
    let neighbour = Neighbour(peerID: try IdentityKey().keyHash.peerID, now: net.now)
    let slot = net.hosts[0].node.neighbours.add(neighbour)
    for number in 0...MeshNode.queuedControl {
      let ping = ControlMessage.ping(ControlMessage.RequestID(number: UInt32(number)))
      net.hosts[0].node.sendControl(ping, slot: slot, now: net.now)
    }
    #expect(net.hosts[0].node.neighbours.entries[slot].controlQueue.count == MeshNode.queuedControl)
    #expect(net.drops(0, .queueFull) == 1)
  }

  @Test("of one neighbour one announced record is checked at a time, and of all no more than may wait")
  func announcements() throws {
    var (net, slot) = try connected()
    func announce(_ sequence: UInt64) throws {
      let record = try net.record(of: 1, sequence: sequence)
      let message = ControlMessage.announce(.init(bundle: record.bundle))
      net.hosts[0].node.receiveControl(message.encoded, slot: slot, now: net.now)
    }
    try announce(1)
    try announce(2)
    #expect(net.drops(0, .controlOverBudget) == 1)
    net.settle(0)
    try announce(3)
    net.settle(0)
    #expect(net.hosts[0].node.records.record(net.peerID(1))?.body.sequence == SequenceNumber(3))
    for _ in 0..<NodeLimits.recordChecks { _ = net.hosts[0].node.jobs.add(.record(.restored)) }
    try announce(4)
    #expect(net.drops(0, .controlOverBudget) == 2)
  }

  @Test("an expired record is handed to nobody, and its owner named to nobody")
  func expiredRecord() throws {
    var (net, slot) = try connected(3)
    let asker = net.peerID(1)
    let record = try net.record(of: 2, admitting: [1], life: .seconds(60))
    _ = try net.hosts[0].node.records.store(record, keeping: [])
    let contact = net.hosts[2].identity.keyHash
    _ = net.hosts[0].node.table.insert(
      .init(keyHash: contact, endpoint: net.hosts[2].endpoint, sequence: 1, lastSeen: net.now), now: net.now)
    var sizes: [Int] = []
    func ask(_ number: UInt32) -> Int {
      sizes = []
      let request = ControlMessage.getRecord(
        ControlMessage.RequestID(number: number), target: net.peerID(2))
      net.hosts[0].node.receiveControl(request.encoded, slot: slot, now: net.now)
      while let action = net.hosts[0].node.nextAction() {
        if case .send(let datagram, _) = action { sizes.append(datagram.count) }
      }
      return sizes.reduce(0, +)
    }
    #expect(ask(1) > record.bundle.count)
    #expect(net.hosts[0].node.hints(near: net.peerID(2), for: asker).map(\.peerID) == [net.peerID(2)])
    net.run(.seconds(61))
    net.hosts[0].node.carryWall(to: net.now)
    // Transport header and tag 32, kind 1, type, id and flag 6.
    #expect(ask(2) == 39)
    #expect(net.hosts[0].node.hints(near: net.peerID(2), for: asker).isEmpty)
  }

  @Test("a ping of no peer ends at once, and pings under way are bounded")
  func pings() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    let stranger = try IdentityKey().keyHash.peerID
    _ = net.hosts[0].node.neighbours.add(Neighbour(peerID: stranger, now: net.now))
    try net.addOneSided(0, 1)
    let last = NodeLimits.pings
    var ids = [net.hosts[0].node.ping(stranger, now: net.now)]
    for _ in 0...last { ids.append(net.hosts[0].node.ping(net.peerID(1), now: net.now)) }
    net.settle(0)
    let refused = net.hosts[0].events.compactMap { event -> PingID? in
      if case .pingFinished(let id, .unknownPeer) = event { id } else { nil }
    }
    #expect(refused == [ids[0], ids[last + 1]])
  }

  @Test("events for a shell that drains nothing are bounded, and signature checks still get through")
  func actions() throws {
    var queue = ActionQueue()
    for _ in 0..<NodeLimits.actions {
      let isTaken = queue.append(.deliver([]))
      #expect(isTaken)
    }
    let isTaken = queue.append(.deliver([]))
    let isComputed = queue.append(.compute(CryptoTicket(number: 1), .sign([], .login)))
    #expect(!isTaken && isComputed)
  }
}

@Suite("Invitations")
struct InvitationTests {
  private let wall = WallTime(secondsSinceEpoch: 1_800_000_000)
  private let secret = Primitives.sha256([42])
  private let guest = KeyHash(Primitives.sha256([1]))!
  private let other = KeyHash(Primitives.sha256([2]))!

  private func table(expiring: Duration = .seconds(3_600)) -> InvitationTable {
    var table = InvitationTable()
    _ = table.add(secretHash: Primitives.sha256(secret), expires: wall + expiring, at: wall)
    return table
  }

  @Test("the secret lets one node in, once; that one may show it again for a minute, for a lost answer")
  func once() {
    var table = table()
    #expect(table.redeem(Primitives.sha256([43]), by: guest, at: wall) == .refused)
    #expect(table.redeem(secret, by: guest, at: wall) == .accepted(index: 1))
    #expect(table.redeem(secret, by: other, at: wall) == .refused)
    #expect(table.redeem(secret, by: guest, at: wall + .seconds(59)) == .repeated)
    #expect(table.redeem(secret, by: guest, at: wall + .seconds(60)) == .refused)
  }

  @Test("a secret whose time is over is refused")
  func expired() {
    var table = table(expiring: .seconds(60))
    #expect(table.redeem(secret, by: guest, at: wall + .seconds(60)) == .refused)
  }

  @Test("invitations that wait are bounded, and those that have expired make room")
  func bounded() {
    var table = InvitationTable()
    for number in 1...NodeLimits.invitations {
      let hash = Primitives.sha256([UInt8(number)])
      #expect(table.add(secretHash: hash, expires: wall + .seconds(60), at: wall) == number)
    }
    let hash = Primitives.sha256(secret)
    #expect(table.add(secretHash: hash, expires: wall + .seconds(90), at: wall + .seconds(59)) == nil)
    #expect(table.add(secretHash: hash, expires: wall + .seconds(90), at: wall + .seconds(60)) != nil)
  }
}
