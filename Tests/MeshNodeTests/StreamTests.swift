import MeshCrypto
import MeshNode
import MeshWire
import Testing

@Suite("Streams to relays, where UDP is blocked")
struct StreamTests {
  private let certificate = [UInt8](repeating: 9, count: 32)

  /// A client that knows the record of a relay, which serves streams.
  private func net(serving: Bool = true, blocked: Bool = true) throws -> SmallInternet {
    var net = SmallInternet()
    let client = try net.addHost()
    let relay = try net.addHost(.lightPublic)
    let exchange = try KeyExchangeSecret().offer
    let body = RecordBody(
      serviceType: .lightPublic, keyHash: net.hosts[relay].identity.keyHash, sequence: SequenceNumber(1),
      expiry: net.wall + .seconds(7_200), region: Region("europe")!, relayOffer: 10,
      endpoints: [AnnouncedEndpoint(.configured, net.hosts[relay].endpoint)],
      relay: RelayAnnouncement(
        onionKey: exchange, week: 1, streamPort: serving ? 443 : nil,
        streamCertificate: serving ? certificate : nil))
    let record = try PeerRecord.sign(body, privatePart: nil, with: net.hosts[relay].identity)
    net.backbone = .records([record.peerID: record.bundle])
    _ = net.hosts[client].node.lookUp(record.peerID, now: net.now)
    net.settle(client)
    if blocked { net.wire = { _, _, _ in [] } }
    return net
  }

  private func dial(_ net: inout SmallInternet) throws {
    try net.addOneSided(0, 1)
  }

  @Test(
    "three seconds without any answer, and a stream to the relay's port with its certificate is asked for")
  func asked() throws {
    var net = try net()
    try dial(&net)
    net.run(.milliseconds(2_900))
    #expect(net.hosts[0].streamsAsked.isEmpty)
    net.run(.milliseconds(200))
    let asked = try #require(net.hosts[0].streamsAsked.first)
    #expect(asked.to == Endpoint(net.hosts[1].endpoint.address, port: 443))
    #expect(asked.certificate == certificate && net.hosts[0].streamsAsked.count == 1)
  }

  @Test("where UDP works, or the relay's record names no stream, none is asked for")
  func notAsked() throws {
    var working = try net(blocked: false)
    try dial(&working)
    working.run(.seconds(60))
    #expect(working.hosts[0].streamsAsked.isEmpty)
    var without = try net(serving: false)
    try dial(&without)
    without.run(.seconds(60))
    #expect(without.hosts[0].streamsAsked.isEmpty)
  }

  @Test("a relay alone that is silent gets no stream while others answer over UDP")
  func onlyTheRelayIsDown() throws {
    var net = try net(blocked: false)
    let other = try net.addHost()
    try net.pair(0, other)
    let dead = net.hosts[1].endpoint
    net.wire = { datagram, from, to in from == dead || to == dead ? [] : [datagram] }
    net.run(.seconds(1))
    try dial(&net)
    for _ in 0..<30 {
      net.transmit(
        Packet.udp(from: Packet.address(net.peerID(0)), to: Packet.address(net.peerID(other)), size: 50),
        from: 0)
      net.transmit(
        Packet.udp(from: Packet.address(net.peerID(other)), to: Packet.address(net.peerID(0)), size: 50),
        from: other)
      net.run(.seconds(1))
    }
    #expect(net.hosts[0].streamsAsked.isEmpty)
  }

  @Test("a detection that says UDP is blocked needs no three seconds")
  func detected() throws {
    var net = try net()
    net.hosts[0].node.setSTUNServers([Endpoint(.v4(0x0101_0101), port: 3_478)], now: net.now)
    net.run(.seconds(20))
    try dial(&net)
    net.run(.milliseconds(1))
    #expect(net.hosts[0].streamsAsked.count == 1)
  }

  @Test("handshake, data and path probes go over the stream, and the path is named as one")
  func carries() throws {
    var net = try net()
    try dial(&net)
    try net.addOneSided(1, 0)
    net.run(.seconds(4))
    net.openStream(of: 0, at: 1)
    net.run(.seconds(2))
    let path = try #require(net.state(of: 1, at: 0)?.path)
    #expect(path.kind == .stream && path.payload == 1_452)
    let packet = Packet.udp(
      from: Packet.address(net.peerID(0)), to: Packet.address(net.peerID(1)), size: 1_400)
    net.transmit(packet, from: 0)
    net.run(.milliseconds(10))
    #expect(net.drops(1, .notAllowed) == 1, "it arrived, and the relay's owner allows nothing")
    #expect(net.hosts[0].node.status(now: net.now).counters.streamsOpened == 1)
  }

  @Test("when UDP works again the session goes back to it, and the stream is closed")
  func back() throws {
    var net = try net()
    try dial(&net)
    try net.addOneSided(1, 0)
    net.run(.seconds(4))
    net.openStream(of: 0, at: 1)
    net.run(.seconds(2))
    net.wire = { datagram, _, _ in [datagram] }
    net.run(.seconds(75))
    #expect(net.state(of: 1, at: 0)?.path?.kind == .direct)
    net.run(.seconds(120))
    #expect(net.openStreams == 0)
    #expect(net.state(of: 1, at: 0)?.path?.kind == .direct && net.state(of: 1, at: 0)?.state != .idle)
  }

  @Test("a stream that ends is asked for anew, and one that can't be opened not at once")
  func lost() throws {
    var net = try net()
    try dial(&net)
    net.run(.seconds(4))
    let first = try #require(net.hosts[0].streamsAsked.last).number
    net.hosts[0].node.streamClosed(first, now: net.now)
    net.settle(0)
    net.run(.seconds(15))
    #expect(net.hosts[0].streamsAsked.count == 1)
    net.run(.seconds(120))
    #expect(net.hosts[0].streamsAsked.count >= 2)
    net.openStream(of: 0, at: 1)
    net.run(.seconds(3))
    #expect(net.state(of: 1, at: 0)?.path?.kind == .stream)
    let before = net.hosts[0].streamsAsked.count
    net.closeStream(try #require(net.hosts[0].streamsAsked.last).number, at: 0)
    net.run(.seconds(60))
    #expect(net.hosts[0].streamsAsked.count > before)
  }

  @Test("streams are at most four, and one that nobody asked for is closed")
  func bounded() throws {
    var net = try net()
    net.hosts[0].node.streamOpened(StreamNumber(number: 77), now: net.now)
    guard case .closeStream(let number)? = net.hosts[0].node.nextAction() else {
      Issue.record("nothing was closed")
      return
    }
    #expect(number == StreamNumber(number: 77))
  }
}
