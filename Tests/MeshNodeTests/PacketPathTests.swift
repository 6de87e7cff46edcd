import MeshCrypto
import MeshNode
import MeshWire
import RepeatableRandom
import Testing

@Suite("IP packets between two nodes")
struct PacketPathTests {
  private func pair(
    _ inbound: InboundPermission = InboundPermission(allowsAll: true)
  ) throws -> (net: SmallInternet, a: [UInt8], b: [UInt8]) {
    var net = SmallInternet()
    let a = try net.addHost()
    let b = try net.addHost()
    try net.pair(a, b, inbound: inbound)
    net.run(.seconds(3))
    return (net, Packet.address(net.peerID(a)), Packet.address(net.peerID(b)))
  }

  @Test("two nodes that added each other get a session and carry packets both ways")
  func carriesPackets() throws {
    var (net, a, b) = try pair()
    #expect(net.state(of: 1, at: 0)?.state == .connected)
    #expect(net.state(of: 0, at: 1)?.state == .connected)
    let there = Packet.udp(from: a, to: b)
    let back = Packet.udp(from: b, to: a)
    net.transmit(there, from: 0)
    net.transmit(back, from: 1)
    net.run(.milliseconds(10))
    #expect(net.hosts[1].delivered == [there])
    #expect(net.hosts[0].delivered == [back])
  }

  @Test("a packet sent before there is a session is queued and arrives", arguments: [1, 40])
  func queuesFirst(count: Int) throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.pair(0, 1)
    let packet = Packet.udp(from: Packet.address(net.peerID(0)), to: Packet.address(net.peerID(1)))
    for _ in 0..<count {
      let outcome = net.transmit(packet, from: 0)
      #expect(outcome == .queued)
    }
    net.run(.seconds(2))
    #expect(net.hosts[1].delivered.count == count)
  }

  @Test("the queue before a session is bounded and counted")
  func queueIsBounded() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.pair(0, 1)
    let packet = Packet.udp(from: Packet.address(net.peerID(0)), to: Packet.address(net.peerID(1)))
    for _ in 0..<NodeLimits.queuedPacketsPerPeer { net.transmit(packet, from: 0) }
    let outcome = net.transmit(packet, from: 0)
    #expect(outcome == .dropped(.queueFull))
    #expect(net.drops(0, .queueFull) == 1)
  }

  @Test(
    "packets of every size up to the MTU of 1,280 arrive whole",
    arguments: [0, 1, 600, 1_150, 1_151, 1_200, 1_232])
  func sizes(size: Int) throws {
    var (net, a, b) = try pair()
    let packet = Packet.udp(from: a, to: b, size: size)
    net.transmit(packet, from: 0)
    net.run(.milliseconds(10))
    #expect(net.hosts[1].delivered == [packet])
  }

  @Test("source address: a packet whose source is not its session's peer is dropped")
  func foreignSource() throws {
    var (net, a, b) = try pair()
    var forged = a
    forged[15] ^= 1
    // The sender's own filter drops it too, so it is sealed by a node that lies about its address.
    let outcome = net.transmit(Packet.udp(from: forged, to: b), from: 0)
    #expect(outcome == .dropped(.sourceNotOurs))
    #expect(net.drops(0, .sourceNotOurs) == 1)
  }

  @Test("deny by default: only replies come in from a peer without permissions")
  func denyByDefault() throws {
    var (net, a, b) = try pair(.repliesOnly)
    net.transmit(Packet.udp(from: a, to: b, source: 5_000, destination: 53), from: 0)
    net.run(.milliseconds(10))
    #expect(net.hosts[1].delivered.isEmpty)
    #expect(net.drops(1, .notAllowed) == 1)
    // b speaks first; then a's packet is a reply.
    net.transmit(Packet.udp(from: b, to: a, source: 53, destination: 5_000), from: 1)
    net.transmit(Packet.udp(from: a, to: b, source: 5_000, destination: 53), from: 0)
    net.run(.milliseconds(10))
    #expect(net.hosts[1].delivered.count == 1)
  }

  @Test("an allowed TCP port lets in that port and no other")
  func allowedPort() throws {
    var (net, a, b) = try pair(InboundPermission(tcpPorts: [22]))
    net.transmit(Packet.tcp(from: a, to: b, source: 4_000, destination: 22), from: 0)
    net.transmit(Packet.tcp(from: a, to: b, source: 4_000, destination: 23), from: 0)
    net.run(.milliseconds(10))
    #expect(net.hosts[1].delivered == [Packet.tcp(from: a, to: b, source: 4_000, destination: 22)])
    #expect(net.drops(1, .notAllowed) == 1)
  }

  @Test("packets to whoever is not a peer, and what is not IPv6, go nowhere")
  func noRoute() throws {
    var (net, a, _) = try pair()
    let stranger = Packet.address(try IdentityKey().keyHash.peerID)
    let outcome = net.transmit(Packet.udp(from: a, to: stranger), from: 0)
    #expect(outcome == .dropped(.noRoute))
    for garbage in [[0x45, 0, 0, 20], []] as [[UInt8]] {
      let outcome = net.transmit(garbage, from: 0)
      #expect(outcome == .dropped(.notIPv6))
    }
  }

  @Test("a transport packet counts once: its replay is dropped")
  func replay() throws {
    var (net, a, b) = try pair()
    let from = net.hosts[0].endpoint
    var output = [UInt8](repeating: 0, count: 400)
    var span = output.mutableSpan
    guard
      case .datagram(let count, _) = net.hosts[0].node.send(
        Packet.udp(from: a, to: b).span, into: &span, now: net.now)
    else {
      Issue.record("no session")
      return
    }
    let datagram = Array(output[..<count])
    net.hand(datagram, to: 1, from: from)
    let outcome = net.hand(datagram, to: 1, from: from)
    #expect(outcome == .dropped(.replayed))
    #expect(net.hosts[1].delivered.count == 1)
  }

  @Test("no datagram of random bytes, cut or altered, crashes a node or delivers anything")
  func hostileDatagrams() throws {
    var (net, _, _) = try pair()
    var random = SplitMix64(seed: 7)
    for _ in 0..<2_000 {
      var datagram = (0..<Int.random(in: 0...1_400, using: &random)).map { _ in
        UInt8.random(in: 0...255, using: &random)
      }
      if !datagram.isEmpty { datagram[0] = UInt8.random(in: 0...9, using: &random) }
      net.hand(datagram, to: 1, from: net.hosts[0].endpoint)
    }
    #expect(net.hosts[1].delivered.isEmpty)
  }
}
