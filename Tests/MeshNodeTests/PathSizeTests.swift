import MeshCrypto
import MeshNode
import MeshRelay
import MeshSession
import MeshWire
import Testing

@Suite("The largest packet that all paths carry")
struct PathSizeTests {
  /// A node with peers, some of them behind paths that lose what is larger than 1,232.
  private func net(peers: Int, narrow: [Int] = []) throws -> SmallInternet {
    var net = SmallInternet()
    for _ in 0...peers { _ = try net.addHost() }
    let slim = narrow.map { net.hosts[$0].endpoint }
    net.wire = { datagram, from, to in
      datagram.count > 1_232 && (slim.contains(from) || slim.contains(to)) ? [] : [datagram]
    }
    for peer in 1...peers { try net.pair(0, peer) }
    return net
  }

  private func changes(_ net: SmallInternet) -> [Int] {
    net.hosts[0].events.compactMap { if case .overlayMTUChanged(let mtu) = $0 { mtu } else { nil } }
  }

  @Test("it is 1,280 without peers, and 1,419 when every path has carried 1,452")
  func rises() throws {
    var net = try net(peers: 2)
    #expect(net.hosts[0].node.overlayMTU == 1_280)
    net.run(.seconds(3))
    #expect(net.hosts[0].node.overlayMTU == 1_419)
    #expect(changes(net) == [1_419])
    #expect(net.hosts[0].node.status(now: net.now).overlayMTU == 1_419)
  }

  @Test("one path that carries less brings it down to 1,280, and the peer's leaving up again")
  func falls() throws {
    var net = try net(peers: 2, narrow: [2])
    net.run(.seconds(12))
    #expect(net.hosts[0].node.overlayMTU == 1_280)
    let left = net.peerID(2)
    let wasPeer = net.hosts[0].node.removePeer(left, now: net.now)
    #expect(wasPeer)
    net.settle(0)
    #expect(net.hosts[0].node.overlayMTU == 1_419)
    let last = net.peerID(1)
    _ = net.hosts[0].node.removePeer(last, now: net.now)
    net.settle(0)
    #expect(net.hosts[0].node.overlayMTU == 1_280)
    #expect(Array(changes(net).suffix(3)) == [1_280, 1_419, 1_280])
  }

  @Test("who is no peer doesn't lower it, however little the path to it carries")
  func strangers() throws {
    var net = try net(peers: 1)
    let stranger = try net.addHost()
    let slim = net.hosts[stranger].endpoint
    net.wire = { datagram, from, to in
      datagram.count > 1_232 && (from == slim || to == slim) ? [] : [datagram]
    }
    try net.addOneSided(stranger, 0)
    net.run(.seconds(12))
    #expect(net.hosts[0].node.status(now: net.now).controlSessions == 1)
    #expect(net.hosts[0].node.overlayMTU == 1_419)
    #expect(changes(net) == [1_419])
  }

  @Test("a packet that was sized for the larger path arrives whole over the smaller one")
  func nothingIsLost() throws {
    var net = try net(peers: 2, narrow: [2])
    net.run(.seconds(12))
    let packet = Packet.udp(
      from: Packet.address(net.peerID(0)), to: Packet.address(net.peerID(2)), size: 1_419 - 48)
    net.transmit(packet, from: 0)
    net.run(.milliseconds(10))
    #expect(net.hosts[2].delivered == [packet])
  }

  @Test("what a relay circuit carries is one of the sizes that are asked for")
  func circuits() { #expect(Layout.probedPayloads.contains(CellLayout.largestPayload)) }

  @Test("over an underlay of 1,280 every packet of up to 2,386 arrives, from the first second on")
  func smallestUnderlay() throws {
    var net = try net(peers: 1, narrow: [1])
    let sizes = [48, 49, 1_198, 1_199, 1_200, 1_279, 1_280, 1_281, 1_419, 1_420, 1_500, 2_385, 2_386]
    for second in 0..<15 {
      for size in sizes {
        let packet = Packet.udp(
          from: Packet.address(net.peerID(0)), to: Packet.address(net.peerID(1)), size: size - 48)
        net.transmit(packet, from: 0)
        net.run(.milliseconds(10))
        #expect(net.hosts[1].delivered.last == packet, "\(size) after \(second) s")
      }
      net.run(.seconds(1))
    }
  }

  /// Sends a large packet each 100 ms, one way alone; the longest time in which none arrived.
  private func longestSilence(_ net: inout SmallInternet, for time: Duration, size: Int = 1_419) -> Duration {
    let packet = Packet.udp(
      from: Packet.address(net.peerID(0)), to: Packet.address(net.peerID(1)), size: size - 48)
    var (heard, longest) = (net.now, Duration.zero)
    for _ in 0..<Int(time / .milliseconds(100)) {
      let before = net.hosts[1].delivered.count
      net.transmit(packet, from: 0)
      net.run(.milliseconds(100))
      longest = max(longest, net.now - heard)
      if net.hosts[1].delivered.count > before { heard = net.now }
    }
    return longest
  }

  /// TCP repeats after about 0.3, 0.8 and 2 s, and then after 4: what is found out later costs 8.
  @Test(
    "a path that begins to lose large datagrams alone holds what is sent up for 1.1 s at most",
    arguments: [0, 2, 4])
  func shrinkingPath(later: Int) throws {
    var net = try net(peers: 1)
    net.delay = { _, _ in .milliseconds(40) }
    net.run(.seconds(3))
    #expect(longestSilence(&net, for: .seconds(1 + later)) < .milliseconds(200))
    #expect(net.state(of: 1, at: 0)?.path?.payload == 1_452)
    net.wire = { datagram, _, _ in datagram.count > 1_252 ? [] : [datagram] }
    let longest = longestSilence(&net, for: .seconds(15))
    #expect(longest <= .milliseconds(1_100), "silent for \(longest)")
    #expect(net.state(of: 1, at: 0)?.path?.payload == 1_232)
  }

  @Test("traffic that goes one way alone, over a path that carries all, is rarely sent in two datagrams")
  func oneWay() throws {
    var net = try net(peers: 1)
    net.delay = { _, _ in .milliseconds(40) }
    net.run(.seconds(3))
    var large = 0
    let sender = net.hosts[0].endpoint
    net.wire = { datagram, from, _ in
      // Probes have 1,452.
      if from == sender, (1_400..<1_452).contains(datagram.count) { large += 1 }
      return [datagram]
    }
    #expect(longestSilence(&net, for: .seconds(20), size: 1_410) < .milliseconds(200))
    #expect(large > 190, "\(large) of 200 in one")
    #expect(net.state(of: 1, at: 0)?.path?.payload == 1_452)
  }

  @Test("packets in two pieces that fit no single datagram say nothing of the path")
  func largePackets() throws {
    var net = try net(peers: 1)
    net.delay = { _, _ in .milliseconds(40) }
    net.run(.seconds(3))
    let ends = [net.peerID(0), net.peerID(1)].map(Packet.address)
    for size in [1_419, 2_800, 1_419, 1_420, 2_824] {
      for (from, to) in [(0, 1), (1, 0)] {
        let packet = Packet.udp(from: ends[from], to: ends[to], size: size - 48)
        net.transmit(packet, from: from)
        net.run(.milliseconds(50))
        let isWhole = net.hosts[to].delivered.last == packet
        #expect(isWhole, "\(size) from \(from)")
        #expect(net.state(of: to, at: from)?.path?.payload == 1_452, "after \(size) from \(from)")
        #expect(net.state(of: from, at: to)?.path?.payload == 1_452, "after \(size) from \(from)")
      }
    }
  }

  @Test("when the host refuses a datagram as too large, its path gets smaller ones, and no other does")
  func refusedByTheHost() throws {
    var net = try net(peers: 2)
    net.run(.seconds(3))
    let endpoint = net.hosts[2].endpoint
    net.hosts[0].node.pathRefused(size: 1_400, to: endpoint, now: net.now)
    net.settle(0)
    #expect(net.state(of: 2, at: 0)?.path?.payload == 1_232)
    #expect(net.state(of: 1, at: 0)?.path?.payload == 1_452)
    net.run(.seconds(1))
    #expect(net.state(of: 2, at: 0)?.path?.payload == 1_372)
    #expect(net.hosts[0].node.overlayMTU == 1_339)
    net.run(.seconds(63))
    #expect(net.hosts[0].node.overlayMTU == 1_419)
  }

  @Test("a packet too large for two datagrams is answered with Packet Too Big, not lost without a word")
  func packetTooBig() throws {
    var net = try net(peers: 1, narrow: [1])
    net.run(.seconds(12))
    let own = Packet.address(net.peerID(0))
    let peer = Packet.address(net.peerID(1))
    let packet = Packet.udp(from: own, to: peer, size: 2_400 - 48)
    let sent = net.transmit(packet, from: 0)
    #expect(sent == .dropped(.tooLarge))
    let answer = try #require(net.hosts[0].delivered.last)
    #expect(answer.count == 1_280 && Array(answer[8..<24]) == peer && Array(answer[24..<40]) == own)
    #expect(answer[6] == 58 && answer[40] == 2 && answer[41] == 0)
    let mtu = answer[44..<48].reduce(0) { $0 << 8 | Int($1) }
    #expect(mtu == 2_386)
    #expect(Array(answer[48...]) == Array(packet[..<(1_280 - 48)]))
    // RFC 1071: with the checksum in its place, the words of pseudo-header and message add up to all ones.
    var sum = answer.count - 40 + 58
    for index in stride(from: 8, to: answer.count, by: 2) {
      sum += Int(answer[index]) << 8 | Int(answer[index + 1])
    }
    while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
    #expect(sum == 0xffff)
    // What it names passes.
    net.transmit(Packet.udp(from: own, to: peer, size: mtu - 48), from: 0)
    net.run(.milliseconds(10))
    #expect(net.hosts[1].delivered.last?.count == mtu)
  }

  @Test("Packet Too Big answers are at most a hundred a second, and never an answer to an error")
  func packetTooBigIsBounded() throws {
    var net = try net(peers: 1, narrow: [1])
    net.run(.seconds(12))
    let own = Packet.address(net.peerID(0))
    let peer = Packet.address(net.peerID(1))
    let error: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 2_352)
    net.transmit(Packet.ip(from: own, to: peer, nextHeader: 58, error), from: 0)
    #expect(net.hosts[0].delivered.isEmpty)
    net.run(.seconds(1))
    for _ in 0..<150 { net.transmit(Packet.udp(from: own, to: peer, size: 2_400 - 48), from: 0) }
    #expect(net.hosts[0].delivered.count == 100)
    #expect(net.drops(0, .tooLarge) == 151)
  }
}
