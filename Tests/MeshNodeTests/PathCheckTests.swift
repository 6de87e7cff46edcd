import MeshNode
import MeshWire
import Testing

/// What comes of path checks whose source isn't where the peer is.
@Suite("Path checks")
struct PathCheckTests {
  /// Where the second node's datagrams went, and the first one's checks, which never arrived.
  private final class Seen {
    var targets: [Endpoint] = []
    var checks: [[UInt8]] = []
  }

  @Test(
    "a check is answered where its source says, but never where nothing is ever sent",
    arguments: [
      (IPAddress.v4(0xc612_4d01), true), (.v4(0xe000_0001), false), (.v4(0xffff_ffff), false),
      (.v4(0x7f00_0001), false),
    ])
  func forgedSource(source: IPAddress, isAnswered: Bool) throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    for (host, other) in [(0, 1), (1, 0)] { try net.publish(host, admitting: [other]) }
    try net.pair(0, 1)
    net.run(.seconds(20))
    let (first, second) = (net.hosts[0].endpoint, net.hosts[1].endpoint)
    let seen = Seen()
    net.wire = { datagram, from, to in
      if from == second { seen.targets.append(to) }
      guard from == first, to == second, datagram.count == 1_232 else { return [datagram] }
      seen.checks.append(datagram)
      return []
    }
    net.hosts[0].node.networkChanged(now: net.now)
    net.settle(0)
    net.run(.milliseconds(600))
    try #require(!seen.checks.isEmpty)
    let forged = Endpoint(source, port: 5_000)
    seen.targets = []
    for check in seen.checks { net.hand(check, to: 1, from: forged) }
    #expect(seen.targets.contains(forged) == isAnswered)
  }
}
