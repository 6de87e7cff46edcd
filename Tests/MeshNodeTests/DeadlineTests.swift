import MeshCrypto
import MeshWire
import RepeatableRandom
import Testing

@testable import MeshNode

@Suite("The next deadline")
struct DeadlineTests {
  /// What is kept from turn to turn against a walk over everything, after each of hundreds of random inputs:
  /// packets each way, losses, handshakes, control messages, removals, and time.
  @Test("is the minimum over all neighbours, whatever has happened", arguments: [1, 2] as [UInt64])
  func isTheMinimum(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    var net = SmallInternet()
    for _ in 0..<12 { _ = try net.addHost() }
    var losses = SplitMix64(seed: seed &+ 100)
    net.wire = { datagram, _, _ in Int.random(in: 0..<20, using: &losses) == 0 ? [] : [datagram] }
    for peer in 1..<12 { try net.pair(0, peer) }
    check(net)
    var wasKept = 0
    for _ in 0..<400 {
      let peer = Int.random(in: 1..<12, using: &random)
      let peerID = net.peerID(peer)
      switch Int.random(in: 0..<20, using: &random) {
      case 0:
        _ = net.hosts[0].node.ping(peerID, now: net.now)
        check(net)
        net.settle(0)
      case 1 where Bool.random(using: &random):
        _ = net.hosts[0].node.removePeer(peerID, now: net.now)
        check(net)
        net.settle(0)
      case 2: try net.pair(0, peer)
      case 3...9: exchange(&net, peer, &random)
      case 10: net.run(.seconds(Int.random(in: 1...30, using: &random)))
      default: net.run(.milliseconds(Int.random(in: 1...300, using: &random)))
      }
      check(net)
      wasKept += net.hosts[0].node.neighbours.deadlines.isStale ? 0 : 1
    }
    #expect(wasKept > 200, "or nothing was compared")
  }

  /// Packets in a row, as a batch brings them, without anything in between.
  private func exchange(_ net: inout SmallInternet, _ peer: Int, _ random: inout SplitMix64) {
    for _ in 0..<Int.random(in: 1...12, using: &random) {
      let other = Int.random(in: 1..<12, using: &random)
      let size = [20, 1_300, 1_380].randomElement(using: &random) ?? 20
      let packet = Packet.udp(
        from: Packet.address(net.peerID(0)), to: Packet.address(net.peerID(other)), size: size)
      var output = [UInt8](repeating: 0, count: packet.count + 256)
      var span = output.mutableSpan
      _ = net.hosts[0].node.send(packet.span, into: &span, now: net.now)
      check(net)
      let back = Packet.udp(from: Packet.address(net.peerID(peer)), to: Packet.address(net.peerID(0)))
      net.transmit(back, from: peer)
    }
  }

  private func check(_ net: SmallInternet, _ location: SourceLocation = #_sourceLocation) {
    for host in net.hosts.prefix(3) {
      #expect(host.node.neighbourDeadline == host.node.walkedDeadline, sourceLocation: location)
    }
  }
}
