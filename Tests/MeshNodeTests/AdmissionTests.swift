import Kademlia
import MeshCrypto
import MeshWire
import Testing

@testable import MeshNode
@testable import MeshSession

@Suite("Who gets a session with us")
struct AdmissionTests {
  private enum Verdict: Equatable {
    case refused
    /// With the key that an M3 without one is checked by.
    case accepted(IdentityPublicKey?)
  }

  /// What is said before the signature is looked at.
  private func verdict(_ net: SmallInternet, on keyHash: KeyHash, hasRoom: Bool = true) -> Verdict {
    let node = net.hosts[0].node
    let rule = AdmissionRule(
      neighbours: node.neighbours, records: node.records, own: node.own.keyHash,
      room: hasRoom ? .unlimited : .perPrefix(.v4(0), limit: 0))
    return switch rule.admit(keyHash) {
    case .refuse: .refused
    case .accept(let key): .accepted(key)
    }
  }

  /// A handshake in which someone has proved to be `keyHash` ends at host 0.
  private func prove(
    _ net: inout SmallInternet, _ keyHash: KeyHash, from address: UInt32 = 0xc633_6401, index: UInt32 = 9
  ) {
    let session = Session(
      peer: keyHash, role: .responder, handshakeHash: Primitives.sha512([1]), suite: .aes256GCM,
      root: [UInt8](repeating: 5, count: 64), receiveIndex: index, peerIndex: 1, now: net.now)
    let key = net.hosts[0].identity.publicKey
    net.hosts[0].node.perform(
      [.established(session, peerKey: key, from: Endpoint(.v4(address), port: 9), early: [])], now: net.now)
    net.settle(0)
  }

  private func oneHost() throws -> SmallInternet {
    var net = SmallInternet()
    _ = try net.addHost()
    return net
  }

  private func stranger(_ number: Int) throws -> KeyHash {
    try #require(KeyHash(Primitives.sha256([UInt8(number)])))
  }

  /// Another KeyHash with the same PeerID.
  private func twin(of keyHash: KeyHash) throws -> KeyHash {
    var bytes = keyHash.bytes
    bytes[31] ^= 1
    return try #require(KeyHash(bytes))
  }

  @Test("our own KeyHash gets none, whether its signature has been looked at or not")
  func ownKey() throws {
    var net = try oneHost()
    let own = net.hosts[0].identity.keyHash
    #expect(verdict(net, on: own) == .refused)
    prove(&net, own)
    #expect(net.hosts[0].node.neighbours.entries.isEmpty)
    #expect(net.drops(0, .tableFull) == 1)
  }

  @Test("identity: another KeyHash than the pinned one gets none, even if it is pinned meanwhile")
  func pinned() throws {
    var net = try oneHost()
    let keyHash = try stranger(1)
    let twin = try twin(of: keyHash)
    try net.hosts[0].node.addPeer(PeerEntry(peerID: keyHash.peerID, keyHash: keyHash), now: net.now)
    net.settle(0)
    #expect(verdict(net, on: twin) == .refused)
    #expect(verdict(net, on: keyHash) == .accepted(nil))
    prove(&net, twin)
    let isConnected = net.hosts[0].node.neighbours.entries.contains(where: \.isConnected)
    #expect(!isConnected)
    let isTold = net.hosts[0].events.contains {
      if case .identityConflict(keyHash.peerID, pinned: keyHash, seen: twin) = $0 { true } else { false }
    }
    #expect(isTold)
    prove(&net, keyHash)
    #expect(net.hosts[0].node.neighbours.entries.first?.isConnected == true)
  }

  @Test("a key that we hold is used for its own KeyHash alone")
  func knownKey() throws {
    var net = try oneHost()
    let key = try IdentityKey().publicKey
    let other = try IdentityKey().publicKey
    var neighbour = Neighbour(peerID: key.keyHash.peerID, now: net.now)
    neighbour.publicKey = other
    let slot = net.hosts[0].node.neighbours.add(neighbour)
    #expect(verdict(net, on: key.keyHash) == .accepted(nil))
    net.hosts[0].node.neighbours.entries[slot].publicKey = key
    #expect(verdict(net, on: key.keyHash) == .accepted(key))
  }

  @Test("strangers of one network get no more than its share when their proofs are checked at once")
  func share() throws {
    var net = try oneHost()
    #expect(verdict(net, on: try stranger(0), hasRoom: false) == .refused)
    for number in 0...NodeLimits.controlSessionsPerPrefix {
      prove(&net, try stranger(number), from: 0xc633_6401 + UInt32(number), index: UInt32(number + 1))
    }
    #expect(
      net.hosts[0].node.status(now: net.now).controlSessions == NodeLimits.controlSessionsPerPrefix)
    #expect(net.drops(0, .tableFull) == 1)
  }

  @Test("when strangers have all the places that they may have, the one that was quiet longest gives way")
  func crowd() throws {
    var net = try oneHost()
    for number in 0...NodeLimits.inboundControlSessions {
      net.now = net.now + .milliseconds(1)
      prove(
        &net, try stranger(number), from: 0x0b00_0001 + UInt32(number) << 8, index: UInt32(number + 1))
    }
    let inbound = net.hosts[0].node.neighbours.entries.filter { $0.inboundPrefix != nil }.map(\.peerID)
    #expect(inbound.count == NodeLimits.inboundControlSessions)
    let first = try stranger(0).peerID
    let last = try stranger(NodeLimits.inboundControlSessions).peerID
    #expect(!inbound.contains(first) && inbound.contains(last))
    #expect(net.drops(0, .tableFull) == 1)
  }

  @Test("who proves its key ends a handshake with whom a hint took for it")
  func hintedAttempt() throws {
    var net = try oneHost()
    let keyHash = try stranger(1)
    let hint = ContactHint(
      keyHash: try twin(of: keyHash), endpoint: Endpoint(.v4(0xc633_6409), port: 1), sequence: 0)
    net.hosts[0].node.reach(hint, with: .ping(ControlMessage.RequestID(number: 1)), now: net.now)
    net.settle(0)
    #expect(net.hosts[0].node.attempts.count == 1)
    prove(&net, keyHash)
    #expect(net.hosts[0].node.neighbours.entries.first?.keyHash == keyHash)
    #expect(net.hosts[0].node.attempts.isEmpty)
  }

  @Test("with many operations waiting, strangers have to show that they are where they say")
  func cookies() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    for _ in 0..<64 { _ = net.hosts[1].node.jobs.add(.record(.restored)) }
    try net.addOneSided(0, 1)
    net.run(.seconds(3))
    #expect(net.drops(1, .handshakeOverload) > 0)
    #expect(net.state(of: 1, at: 0)?.path != nil)
  }

  @Test(
    "a node that everybody may dial has strangers show where they are, busy or not",
    arguments: [ServiceType.lightPublic, .backbone])
  func cookiesOfPublicNodes(type: ServiceType) throws {
    var net = SmallInternet()
    _ = try net.addHost()
    _ = try net.addHost(type)
    try net.addOneSided(0, 1)
    net.run(.seconds(3))
    #expect(net.drops(1, .handshakeOverload) > 0)
    #expect(net.state(of: 1, at: 0)?.path != nil)
  }
}
