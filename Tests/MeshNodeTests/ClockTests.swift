import MeshCrypto
import MeshNode
import MeshWire
import Testing

@Suite("A wall clock that is wrong")
struct ClockTests {
  private func found(_ net: SmallInternet, _ host: Int, _ id: LookupID) -> Bool {
    net.hosts[host].events.contains {
      if case .lookupFinished(id, .found) = $0 { true } else { false }
    }
  }

  private func lookUp(_ net: inout SmallInternet, _ target: Int, by host: Int) -> Bool {
    let id = net.hosts[host].node.lookUp(net.peerID(target), now: net.now)
    net.settle(host)
    net.run(.seconds(30))
    return found(net, host, id)
  }

  @Test(
    "records are judged by the time of the backbone, once it is known",
    arguments: [Duration.seconds(7_200), .seconds(-3_600)])
  func corrected(error: Duration) throws {
    var net = SmallInternet()
    _ = try net.addHost(clockError: error)
    for _ in 0..<2 { _ = try net.addHost() }
    try net.publish(1, admitting: [0])
    try net.publish(2, admitting: [0])
    let before = lookUp(&net, 1, by: 0)
    #expect(!before, "expired, or too long-lived, by the wrong clock")
    net.hosts[0].node.setClockOffset(.zero - error, now: net.now)
    let after = lookUp(&net, 1, by: 0)
    #expect(after)
    // The shell goes on reading the wrong clock, and says the difference again at each login.
    net.run(.seconds(60))
    net.hosts[0].node.advance(to: net.now, wall: net.wall + error)
    net.hosts[0].node.setClockOffset(.zero - error, now: net.now)
    let later = lookUp(&net, 2, by: 0)
    #expect(later, "a record that was not seen before")
  }

  @Test("an offset takes the place of the one before it")
  func replaced() throws {
    var net = SmallInternet()
    _ = try net.addHost()
    _ = try net.addHost()
    try net.publish(1, admitting: [0])
    net.hosts[0].node.setClockOffset(.seconds(7_200), now: net.now)
    net.hosts[0].node.setClockOffset(.seconds(0), now: net.now)
    let isFound = lookUp(&net, 1, by: 0)
    #expect(isFound)
  }

  @Test(
    "with a clock hours off and no backbone, a cached peer is reached all the same",
    arguments: [Duration.seconds(3 * 3_600), .seconds(-3 * 3_600)])
  func cachedPeers(error: Duration) throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.publish(1, admitting: [0])
    let isFound = lookUp(&net, 1, by: 0)
    #expect(isFound)
    // The clock goes wrong while the node runs; then it starts again, with what it saved.
    net.hosts[0].clockError = error
    net.run(.seconds(60))
    net.hosts[0].node.advance(to: net.now, wall: net.wall + error)
    let snapshot = net.hosts[0].node.snapshot(now: net.now)
    #expect(snapshot.records.count == 1)
    let restarted = try net.addHost(clockError: error, identity: net.hosts[0].identity)
    net.backbone = .away
    net.hosts[restarted].node.restore(snapshot, now: net.now)
    net.settle(restarted)
    #expect(net.hosts[restarted].node.status(now: net.now).cachedRecords == 1)
    try net.hosts[restarted].node.addPeer(
      PeerEntry(peerID: net.peerID(1), keyHash: net.hosts[1].identity.keyHash), now: net.now)
    net.settle(restarted)
    net.run(.seconds(5))
    #expect(net.state(of: 1, at: restarted)?.path?.endpoint == net.hosts[1].endpoint)
  }
}
