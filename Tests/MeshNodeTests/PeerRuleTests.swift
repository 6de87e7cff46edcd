import MeshCrypto
import MeshWire
import Testing

@testable import MeshNode

@Suite("Whom an owner may add")
struct PeerRuleTests {
  private func refusal(_ net: inout SmallInternet, _ entry: PeerEntry) -> PeerRefusal? {
    do {
      try net.hosts[0].node.addPeer(entry, now: net.now)
      return nil
    } catch { return error }
  }

  private func peerID(_ number: Int, last: UInt8 = 0) throws -> PeerID {
    var bytes = [UInt8](repeating: 9, count: 20)
    bytes[0] = UInt8(number >> 8)
    bytes[1] = UInt8(number & 0xff)
    bytes[19] = last
    return try #require(PeerID(bytes))
  }

  @Test("a KeyHash and a public key have to be those of the PeerID")
  func identitiesFit() throws {
    var net = SmallInternet()
    _ = try net.addHost()
    let one = try IdentityKey().publicKey
    let other = try IdentityKey().publicKey
    let own = net.hosts[0].identity.keyHash
    #expect(refusal(&net, PeerEntry(peerID: own.peerID, keyHash: own)) == .ownKey)
    #expect(
      refusal(&net, PeerEntry(peerID: one.keyHash.peerID, keyHash: other.keyHash))
        == .keyHashDoesNotMatchPeerID)
    #expect(
      refusal(&net, PeerEntry(peerID: one.keyHash.peerID, keyHash: one.keyHash, publicKey: other))
        == .keyHashDoesNotMatchPeerID)
    #expect(
      refusal(&net, PeerEntry(peerID: one.keyHash.peerID, keyHash: one.keyHash, publicKey: one)) == nil)
  }

  @Test("a peer whose overlay address another peer has is refused")
  func collision() throws {
    var net = SmallInternet()
    _ = try net.addHost()
    // The address holds 13 of the PeerID's 20 bytes.
    #expect(refusal(&net, PeerEntry(peerID: try peerID(1))) == nil)
    #expect(refusal(&net, PeerEntry(peerID: try peerID(1, last: 7))) == .addressCollision)
    #expect(refusal(&net, PeerEntry(peerID: try peerID(1))) == nil, "the same again")
  }

  @Test("there are no more peers than the bound says, and they can still be changed")
  func full() throws {
    var net = SmallInternet()
    _ = try net.addHost()
    for number in 0..<NodeLimits.peers {
      #expect(refusal(&net, PeerEntry(peerID: try peerID(number))) == nil)
    }
    #expect(refusal(&net, PeerEntry(peerID: try peerID(NodeLimits.peers))) == .full)
    let known = Neighbour(peerID: try peerID(NodeLimits.peers), now: net.now)
    _ = net.hosts[0].node.neighbours.add(known)
    #expect(refusal(&net, PeerEntry(peerID: known.peerID)) == .full, "one that we know is no exception")
    #expect(
      refusal(&net, PeerEntry(peerID: try peerID(0), inbound: InboundPermission(allowsAll: true))) == nil)
  }

  @Test("a conversation that began under other permissions begins anew")
  func permissionsChange() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.pair(0, 1)
    net.run(.seconds(3))
    let there = Packet.address(net.peerID(0))
    let here = Packet.address(net.peerID(1))
    net.transmit(Packet.udp(from: here, to: there, source: 53, destination: 5_000), from: 1)
    let keyHash = net.hosts[0].identity.keyHash
    try net.hosts[1].node.addPeer(PeerEntry(peerID: keyHash.peerID, keyHash: keyHash), now: net.now)
    net.settle(1)
    net.transmit(Packet.udp(from: there, to: here, source: 5_000, destination: 53), from: 0)
    net.run(.milliseconds(10))
    #expect(net.hosts[1].delivered.isEmpty)
    #expect(net.drops(1, .notAllowed) == 1)
  }

  @Test("a key that a record brought is taken for its own KeyHash alone")
  func keyOfRecord() throws {
    var net = SmallInternet()
    _ = try net.addHost()
    let identity = try IdentityKey()
    let record = try net.record(of: identity, admitting: [], endpoint: net.hosts[0].endpoint)
    _ = try net.hosts[0].node.records.store(record, keeping: [])
    var bytes = identity.keyHash.bytes
    bytes[31] ^= 1
    for (keyHash, expected) in [(KeyHash(bytes), nil), (identity.keyHash, identity.publicKey)] {
      let peerID = identity.keyHash.peerID
      #expect(refusal(&net, PeerEntry(peerID: peerID, keyHash: keyHash)) == nil)
      #expect(net.hosts[0].node.neighbours.entries.first?.publicKey == expected)
      _ = net.hosts[0].node.removePeer(peerID, now: net.now)
    }
  }

  @Test("what a removed peer may answer is forgotten with it")
  func removedConversations() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.addOneSided(0, 1)
    let here = Packet.address(net.peerID(0))
    let there = Packet.address(net.peerID(1))
    net.transmit(Packet.udp(from: here, to: there, source: 5, destination: 6), from: 0)
    let reply = Packet.udp(from: there, to: here, source: 6, destination: 5)
    func verdict() -> DropReason? {
      net.hosts[0].node.filter.incoming(
        reply.span, from: OverlayAddress(of: net.peerID(1)).value, permission: .repliesOnly, now: net.now)
    }
    #expect(verdict() == nil)
    _ = net.hosts[0].node.removePeer(net.peerID(1), now: net.now)
    #expect(verdict() == .notAllowed)
  }
}
