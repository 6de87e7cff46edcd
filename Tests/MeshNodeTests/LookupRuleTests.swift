import Kademlia
import MeshCrypto
import MeshWire
import Testing

@testable import MeshNode

@Suite("What a look-up takes, and from whom")
struct LookupRuleTests {
  private func outcome(_ net: SmallInternet, _ id: LookupID) -> LookupOutcome? {
    for event in net.hosts[0].events {
      if case .lookupFinished(id, let outcome) = event { return outcome }
    }
    return nil
  }

  private func lookUp(_ net: inout SmallInternet, _ target: Int) -> LookupOutcome? {
    let id = net.hosts[0].node.lookUp(net.peerID(target), now: net.now)
    net.settle(0)
    net.run(.seconds(30))
    return outcome(net, id)
  }

  private func cached(_ net: SmallInternet) -> Int { net.hosts[0].node.status(now: net.now).cachedRecords }

  @Test("a backbone that answers with another node's record is not believed, and that is told")
  func foreignFromBackbone() throws {
    var net = SmallInternet()
    for _ in 0..<3 { _ = try net.addHost() }
    net.backbone = .records([net.peerID(1): try net.record(of: 2).bundle])
    let outcome = lookUp(&net, 1)
    guard case .notFound(backbone: "it answered with the record of another node", peersAsked: 0)? = outcome
    else {
      Issue.record("\(String(describing: outcome))")
      return
    }
    #expect(cached(net) == 0)
  }

  /// Host 0 looks host 2 up, has asked host 1, and takes an answer from there.
  private func answered(_ jobs: Int = 0, with record: (SmallInternet) throws -> PeerRecord) throws
    -> SmallInternet
  {
    var net = SmallInternet()
    for _ in 0..<4 { _ = try net.addHost() }
    try net.pair(0, 1)
    net.run(.seconds(2))
    net.backbone = .away
    let id = net.hosts[0].node.lookUp(net.peerID(2), now: net.now)
    net.settle(0)
    for _ in 0..<jobs { _ = net.hosts[0].node.jobs.add(.record(.restored)) }
    let slot = try #require(net.hosts[0].node.neighbours.slot(net.peerID(1)))
    let request = net.hosts[0].node.requests.add(.getRecord(id), to: net.peerID(1), now: net.now)
    let message = ControlMessage.record(try #require(request), .init(bundle: try record(net).bundle))
    net.hosts[0].node.receiveControl(message.encoded, slot: slot, now: net.now)
    net.settle(0)
    return net
  }

  @Test("a peer that answers with another node's record is not believed")
  func foreignFromPeer() throws {
    let net = try answered { try $0.record(of: 3) }
    #expect(net.drops(0, .controlMalformed) == 1)
    #expect(cached(net) == 0)
    let honest = try answered { try $0.record(of: 2) }
    #expect(cached(honest) == 1)
  }

  @Test("answers beyond the signature checks that may wait are dropped")
  func recordChecks() throws {
    let net = try answered(NodeLimits.recordChecks) { try $0.record(of: 2) }
    #expect(net.drops(0, .controlOverBudget) == 1)
    #expect(cached(net) == 0)
  }

  @Test("a withdrawn record is not found, and is not handed on")
  func tombstone() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    net.backbone = .records([net.peerID(1): try net.record(of: 1, kind: .tombstone).bundle])
    let outcome = lookUp(&net, 1)
    guard case .notFound? = outcome else {
      Issue.record("\(String(describing: outcome))")
      return
    }
    #expect(cached(net) == 1, "it still binds")
    #expect(net.hosts[0].node.records.record(net.peerID(1), at: net.wall) == nil)
  }

  @Test("identity: a record of another key than the pinned one is refused, and the owner told")
  func pinned() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    var bytes = net.hosts[1].identity.keyHash.bytes
    bytes[31] ^= 1
    let pinned = try #require(KeyHash(bytes))
    try net.hosts[0].node.addPeer(PeerEntry(peerID: net.peerID(1), keyHash: pinned), now: net.now)
    net.settle(0)
    net.backbone = .records([net.peerID(1): try net.record(of: 1, admitting: [0]).bundle])
    let outcome = lookUp(&net, 1)
    guard case .refused(.otherOwner)? = outcome else {
      Issue.record("\(String(describing: outcome))")
      return
    }
    let seen = net.hosts[1].identity.keyHash
    let isTold = net.hosts[0].events.contains {
      if case .identityConflict(_, pinned: pinned, seen: seen) = $0 { true } else { false }
    }
    #expect(isTold && cached(net) == 0)
  }

  @Test("our own record takes no place among those of others")
  func own() throws {
    var net = SmallInternet()
    _ = try net.addHost()
    net.backbone = .records([net.peerID(0): try net.record(of: 0).bundle])
    let outcome = lookUp(&net, 0)
    guard case .found? = outcome else {
      Issue.record("\(String(describing: outcome))")
      return
    }
    #expect(cached(net) == 0)
  }

  @Test("look-ups under way are bounded, and one too many is told so")
  func bounded() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    let ids = (0...NodeLimits.lookups).map { _ in net.hosts[0].node.lookUp(net.peerID(1), now: net.now) }
    net.settle(0)
    for (number, id) in ids.enumerated() {
      let isTooMany = if case .tooMany? = outcome(net, id) { true } else { false }
      #expect(isTooMany == (number == NodeLimits.lookups))
    }
  }

  @Test("a backbone that does not answer is waited for four seconds, and then the peers are asked")
  func silentBackbone() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    let id = net.hosts[0].node.lookUp(net.peerID(1), now: net.now)
    while net.hosts[0].node.nextAction() != nil {}
    net.run(.milliseconds(3_999))
    #expect(outcome(net, id) == nil)
    net.run(.milliseconds(2))
    guard case .notFound(backbone: "it did not answer in time", peersAsked: 0)? = outcome(net, id) else {
      Issue.record("\(String(describing: outcome(net, id)))")
      return
    }
  }

  @Test("a record that only a contact of a contact holds is found")
  func twoHops() throws {
    var net = SmallInternet()
    for _ in 0..<4 { _ = try net.addHost() }
    try net.publish(2, admitting: [0, 1])
    try net.publish(3, admitting: [0, 2])
    try net.pair(2, 3)
    try net.pair(1, 2)
    net.run(.seconds(2))
    try net.pair(0, 1)
    net.run(.seconds(2))
    net.backbone = .away
    let outcome = lookUp(&net, 3)
    guard case .found(let record, .peers, _)? = outcome else {
      Issue.record("\(String(describing: outcome))")
      return
    }
    #expect(record.endpoints == [net.hosts[3].endpoint])
  }

  @Test("contacts that a look-up would connect to are bounded, with the other sessions of no peers")
  func controlSessions() throws {
    var net = SmallInternet()
    _ = try net.addHost()
    for number in 0..<NodeLimits.controlSessions {
      let peerID = try #require(KeyHash(Primitives.sha256([UInt8(number)]))).peerID
      _ = net.hosts[0].node.neighbours.add(Neighbour(peerID: peerID, now: net.now))
    }
    let hint = ContactHint(
      keyHash: try IdentityKey().keyHash, endpoint: Endpoint(.v4(0xc633_6401), port: 9), sequence: 0)
    net.hosts[0].node.reach(hint, with: .ping(ControlMessage.RequestID(number: 1)), now: net.now)
    #expect(net.hosts[0].node.neighbours.controlCount == NodeLimits.controlSessions)
    #expect(net.drops(0, .tableFull) == 1)
    // Those of an earlier look-up, quiet by now, don't stop the next; but those that strangers began stay.
    let later = net.now + .seconds(11)
    net.hosts[0].node.neighbours.entries[0].inboundPrefix = .v4(0)
    let stranger = net.hosts[0].node.neighbours.entries[0].peerID
    net.hosts[0].node.reach(hint, with: .ping(ControlMessage.RequestID(number: 1)), now: later)
    #expect(net.hosts[0].node.neighbours.controlCount == NodeLimits.controlSessions)
    #expect(net.hosts[0].node.neighbours.slot(hint.peerID) != nil)
    #expect(net.hosts[0].node.neighbours.slot(stranger) != nil)
    #expect(net.drops(0, .tableFull) == 1)
  }

  @Test("identity: a hint with another key than the pinned one names no endpoint to try")
  func hintForPinned() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    let keyHash = net.hosts[1].identity.keyHash
    try net.hosts[0].node.addPeer(PeerEntry(peerID: keyHash.peerID, keyHash: keyHash), now: net.now)
    var bytes = keyHash.bytes
    bytes[31] ^= 1
    for (claimed, expected) in [(try #require(KeyHash(bytes)), 0), (keyHash, 1)] {
      let hint = ContactHint(keyHash: claimed, endpoint: Endpoint(.v4(0xc633_6401), port: 9), sequence: 0)
      net.hosts[0].node.reach(hint, with: .ping(ControlMessage.RequestID(number: 1)), now: net.now)
      #expect(net.hosts[0].node.neighbours.entries.first?.candidates.count == expected)
    }
  }

  @Test("of a snapshot, no more records are read than are kept")
  func boundedSnapshot() throws {
    var net = SmallInternet()
    _ = try net.addHost()
    let bad = [[UInt8]](repeating: [1], count: NodeLimits.records + 1)
    net.hosts[0].node.restore(NodeSnapshot(records: bad, table: []), now: net.now)
    #expect(net.hosts[0].node.status(now: net.now).counters.recordsRefused == UInt64(NodeLimits.records))
  }
}
