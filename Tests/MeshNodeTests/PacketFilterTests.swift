import MeshCrypto
import MeshWire
import Testing

@testable import MeshNode

@Suite("Packet filter")
struct PacketFilterTests {
  private let own: PeerID
  private let peer: PeerID
  private let start = Instant(nanoseconds: 1_000_000_000)

  init() throws {
    own = try IdentityKey().keyHash.peerID
    peer = try IdentityKey().keyHash.peerID
  }

  private var filter: PacketFilter { PacketFilter(own: OverlayAddress(of: own), flowCapacity: 4) }

  private func judge(
    _ filter: inout PacketFilter, _ packet: [UInt8],
    _ permission: InboundPermission = InboundPermission(allowsAll: true), at now: Instant? = nil
  ) -> DropReason? {
    filter.incoming(
      packet.span, from: OverlayAddress(of: peer).value, permission: permission, now: now ?? start)
  }

  @Test("source address: whatever else is allowed, a session carries packets of its own peer only")
  func foreignSource() throws {
    var filter = filter
    let third = try IdentityKey().keyHash.peerID
    let forged = Packet.udp(from: Packet.address(third), to: Packet.address(own))
    #expect(judge(&filter, forged) == .sourceNotPeers)
    #expect(judge(&filter, Packet.udp(from: Packet.address(peer), to: Packet.address(own))) == nil)
  }

  @Test("destination address: nothing is forwarded into the host's other networks")
  func foreignDestination() throws {
    var filter = filter
    let inside: [UInt8] = [0xfd, 0] + [UInt8](repeating: 1, count: 14)
    let packet = Packet.udp(from: Packet.address(peer), to: inside)
    #expect(judge(&filter, packet) == .destinationNotOurs)
  }

  @Test("pings come in only where pings are allowed, and answers to ours always")
  func echo() {
    var filter = filter
    let request = Packet.echo(from: Packet.address(peer), to: Packet.address(own), isRequest: true)
    let answer = Packet.echo(from: Packet.address(peer), to: Packet.address(own), isRequest: false)
    #expect(judge(&filter, request, .repliesOnly) == .notAllowed)
    #expect(judge(&filter, request, InboundPermission(allowsPing: true)) == nil)
    #expect(judge(&filter, answer, .repliesOnly) == .notAllowed)
    let ours = Packet.echo(from: Packet.address(own), to: Packet.address(peer), isRequest: true)
    _ = filter.outgoing(ours.span, now: start)
    #expect(judge(&filter, answer, .repliesOnly) == nil)
  }

  @Test("an ICMPv6 error comes in when it is about a packet of ours, and not otherwise")
  func icmpErrors() {
    var filter = filter
    let ours = Packet.udp(from: Packet.address(own), to: Packet.address(peer))
    let error = Packet.ip(
      from: Packet.address(peer), to: Packet.address(own), nextHeader: 58,
      [2, 0, 0, 0, 0, 0, 5, 0] + ours.prefix(60))
    #expect(judge(&filter, error, .repliesOnly) == .notAllowed)
    _ = filter.outgoing(ours.span, now: start)
    #expect(judge(&filter, error, .repliesOnly) == nil)
  }

  @Test("an ICMPv6 error of one peer about a conversation with another, or of another's, is not let in")
  func foreignErrors() throws {
    var filter = filter
    let third = try IdentityKey().keyHash.peerID
    for about in [
      Packet.udp(from: Packet.address(own), to: Packet.address(third)),
      Packet.udp(from: Packet.address(third), to: Packet.address(peer)),
    ] {
      // Both flows exist, as far as their ports go.
      for target in [third, peer] {
        _ = filter.outgoing(
          Packet.udp(from: Packet.address(own), to: Packet.address(target)).span, now: start)
      }
      let error = Packet.ip(
        from: Packet.address(peer), to: Packet.address(own), nextHeader: 58,
        [1, 0, 0, 0, 0, 0, 0, 0] + about.prefix(60))
      #expect(judge(&filter, error, .repliesOnly) == .notAllowed)
    }
  }

  @Test("protocols that nothing was said about stay out, and an answered ping opens nothing")
  func otherProtocols() {
    var filter = filter
    let sctp = Packet.ip(
      from: Packet.address(peer), to: Packet.address(own), nextHeader: 132,
      [UInt8](repeating: 0, count: 20))
    let all = InboundPermission(allowsPing: true, tcpPorts: [22], udpPorts: [53])
    #expect(judge(&filter, sctp, all) == .notAllowed)
    let answer = Packet.echo(from: Packet.address(own), to: Packet.address(peer), isRequest: false)
    _ = filter.outgoing(answer.span, now: start)
    let back = Packet.echo(from: Packet.address(peer), to: Packet.address(own), isRequest: false)
    #expect(judge(&filter, back, .repliesOnly) == .notAllowed)
  }

  @Test("a conversation ends when it has been idle, and replies are strangers again")
  func idleFlows() {
    var filter = filter
    let ours = Packet.udp(from: Packet.address(own), to: Packet.address(peer), source: 5, destination: 6)
    let reply = Packet.udp(from: Packet.address(peer), to: Packet.address(own), source: 6, destination: 5)
    _ = filter.outgoing(ours.span, now: start)
    #expect(judge(&filter, reply, .repliesOnly, at: start + .seconds(179)) == nil)
    #expect(judge(&filter, reply, .repliesOnly, at: start + .seconds(181)) == .notAllowed)
  }

  @Test("the flow table is bounded: the oldest gives way and is counted")
  func boundedFlows() {
    var filter = filter
    for port in 1...5 as ClosedRange<UInt16> {
      let ours = Packet.udp(from: Packet.address(own), to: Packet.address(peer), source: port, destination: 9)
      _ = filter.outgoing(ours.span, now: start)
    }
    #expect(filter.flowEvictions == 1)
    let replies = (1...5 as ClosedRange<UInt16>).map { port in
      judge(
        &filter,
        Packet.udp(from: Packet.address(peer), to: Packet.address(own), source: 9, destination: port),
        .repliesOnly)
    }
    #expect(replies == [.notAllowed, nil, nil, nil, nil])
  }

  @Test("a removed peer's conversations are forgotten, the others' stay")
  func forgets() throws {
    var filter = filter
    let other = try IdentityKey().keyHash.peerID
    for remote in [peer, other] {
      let ours = Packet.udp(
        from: Packet.address(own), to: Packet.address(remote), source: 5, destination: 6)
      _ = filter.outgoing(ours.span, now: start)
    }
    filter.forget(peer: OverlayAddress(of: peer).value)
    let reply = Packet.udp(from: Packet.address(peer), to: Packet.address(own), source: 6, destination: 5)
    #expect(judge(&filter, reply, .repliesOnly) == .notAllowed)
    let otherReply = Packet.udp(
      from: Packet.address(other), to: Packet.address(own), source: 6, destination: 5)
    let verdict = filter.incoming(
      otherReply.span, from: OverlayAddress(of: other).value, permission: .repliesOnly, now: start)
    #expect(verdict == nil)
  }

  @Test("a packet cut short, with a wrong length field or of IPv4 is refused")
  func malformed() {
    var filter = filter
    let good = Packet.udp(from: Packet.address(peer), to: Packet.address(own))
    for length in 0..<good.count {
      #expect(judge(&filter, Array(good.prefix(length))) == .notIPv6)
    }
    #expect(judge(&filter, good + [0]) == .notIPv6)
    #expect(judge(&filter, [0x45] + good.dropFirst()) == .notIPv6)
  }
}
