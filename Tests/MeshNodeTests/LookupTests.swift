import MeshCrypto
import MeshNode
import MeshWire
import Testing

@Suite("Look-ups: cache, backbone, peers")
struct LookupTests {
  private func outcome(_ net: SmallInternet, _ host: Int, _ id: LookupID) -> LookupOutcome? {
    for event in net.hosts[host].events {
      if case .lookupFinished(id, let outcome) = event { return outcome }
    }
    return nil
  }

  @Test("the backbone's record is verified, kept, and found in the cache the next time")
  func fromBackboneThenCache() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.publish(1, admitting: [0])
    let first = net.hosts[0].node.lookUp(net.peerID(1), now: net.now)
    net.settle(0)
    guard case .found(let record, .backbone, _)? = outcome(net, 0, first) else {
      Issue.record("not found")
      return
    }
    #expect(record.endpoints == [net.hosts[1].endpoint])
    let second = net.hosts[0].node.lookUp(net.peerID(1), now: net.now)
    net.settle(0)
    guard case .found(_, .cache, _)? = outcome(net, 0, second) else {
      Issue.record("not in the cache")
      return
    }
  }

  @Test("with the backbone away, a peer that knows the record answers")
  func fromPeers() throws {
    var net = SmallInternet()
    for _ in 0..<3 { _ = try net.addHost() }
    // 1 knows 2, because 2 announced itself; 0 knows 1 only.
    try net.publish(2, admitting: [0, 1])
    try net.pair(1, 2)
    net.run(.seconds(2))
    try net.pair(0, 1)
    net.run(.seconds(2))
    net.backbone = .away
    let id = net.hosts[0].node.lookUp(net.peerID(2), now: net.now)
    net.settle(0)
    net.run(.seconds(5))
    guard case .found(let record, .peers, _)? = outcome(net, 0, id) else {
      Issue.record("not found: \(String(describing: outcome(net, 0, id)))")
      return
    }
    #expect(record.endpoints == [net.hosts[2].endpoint])
  }

  @Test("private endpoints: a peer hands a record on without them to whom the owner did not admit")
  func withheldByPeers() throws {
    var net = SmallInternet()
    for _ in 0..<3 { _ = try net.addHost() }
    try net.publish(2, admitting: [1])
    try net.pair(1, 2)
    net.run(.seconds(2))
    try net.pair(0, 1)
    net.run(.seconds(2))
    net.backbone = .away
    let id = net.hosts[0].node.lookUp(net.peerID(2), now: net.now)
    net.settle(0)
    net.run(.seconds(5))
    guard case .found(let record, .peers, _)? = outcome(net, 0, id) else {
      Issue.record("not found: \(String(describing: outcome(net, 0, id)))")
      return
    }
    #expect(record.endpoints.isEmpty)
    #expect(record.privatePart == nil)
  }

  @Test("what nobody knows ends as not found, with the backbone's trouble told")
  func nobodyKnows() throws {
    var net = SmallInternet()
    _ = try net.addHost()
    net.backbone = .away
    let id = net.hosts[0].node.lookUp(try IdentityKey().keyHash.peerID, now: net.now)
    net.settle(0)
    net.run(.seconds(15))
    guard case .notFound(backbone: "connection refused", peersAsked: 0)? = outcome(net, 0, id) else {
      Issue.record("\(String(describing: outcome(net, 0, id)))")
      return
    }
  }

  @Test("sequence: a backbone that serves an older record than the known one is refused")
  func lowerSequence() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.publish(1, admitting: [0], sequence: 5)
    let old = try net.record(of: 1, sequence: 4, admitting: [0])
    _ = net.hosts[0].node.lookUp(net.peerID(1), now: net.now)
    net.settle(0)
    // The record has expired for use, but still binds.
    net.run(.seconds(7_300))
    let fresh = try net.record(of: 1, sequence: 4, admitting: [0], endpoint: net.hosts[0].endpoint)
    #expect(old.body.sequence == fresh.body.sequence)
    net.backbone = .records([net.peerID(1): fresh.bundle])
    let id = net.hosts[0].node.lookUp(net.peerID(1), now: net.now)
    net.settle(0)
    net.run(.seconds(15))
    guard case .refused(.lowerSequence)? = outcome(net, 0, id) else {
      Issue.record("\(String(describing: outcome(net, 0, id)))")
      return
    }
  }

  @Test("a peer added by PeerID alone is looked up, dialled, and its KeyHash pinned")
  func peerByPeerID() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.publish(1, admitting: [0])
    try net.publish(0, admitting: [1])
    try net.hosts[0].node.addPeer(PeerEntry(peerID: net.peerID(1)), now: net.now)
    net.settle(0)
    net.run(.seconds(2))
    let pinned = net.hosts[0].events.contains {
      if case .peerPinned(net.peerID(1), let key) = $0 {
        key.keyHash == net.hosts[1].identity.keyHash
      } else {
        false
      }
    }
    #expect(pinned)
    // One-sided: authenticated, but the other side has not added us.
    #expect(net.state(of: 1, at: 0)?.state == .unconfirmed)
  }

  @Test("a snapshot brings records and table back, each record verified again")
  func snapshot() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.publish(1, admitting: [0])
    _ = net.hosts[0].node.lookUp(net.peerID(1), now: net.now)
    net.settle(0)
    var snapshot = net.hosts[0].node.snapshot(now: net.now)
    #expect(snapshot.records.count == 1)
    snapshot.records.append([1, 2, 3])
    var tampered = snapshot.records[0]
    tampered[60] ^= 1
    snapshot.records.append(tampered)
    let restarted = try net.addHost()
    net.hosts[restarted].node.restore(snapshot, now: net.now)
    net.settle(restarted)
    let status = net.hosts[restarted].node.status(now: net.now)
    #expect(status.cachedRecords == 1)
    #expect(status.counters.recordsRefused >= 1)
  }
}
