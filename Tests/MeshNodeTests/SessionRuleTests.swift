import MeshCrypto
import MeshWire
import Testing

@testable import MeshNode
@testable import MeshSession

@Suite("Which session is in use")
struct SessionRuleTests {
  private func connected() throws -> (net: SmallInternet, slot: Int) {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.addOneSided(0, 1)
    net.run(.seconds(3))
    return (net, try #require(net.hosts[0].node.neighbours.slot(net.peerID(1))))
  }

  private func session(_ net: SmallInternet, index: UInt32) -> Session {
    Session(
      peer: net.hosts[1].identity.keyHash, role: .initiator, handshakeHash: Primitives.sha512([1]),
      suite: .aes256GCM, root: [UInt8](repeating: 5, count: 64), receiveIndex: index, peerIndex: 1,
      now: net.now)
  }

  @Test("both sides begin at once: both keep the same session", arguments: 0..<3)
  func simultaneous(_: Int) throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost() }
    try net.pair(0, 1)
    net.run(.seconds(5))
    let hashes = (0..<2).map { host in
      net.hosts[host].node.neighbours.entries.first?.current?.session.handshakeHash
    }
    #expect(hashes[0] != nil && hashes[0] == hashes[1])
    let previous = (0..<2).map { net.hosts[$0].node.neighbours.entries.first?.previous?.session.isSuperseded }
    #expect(previous == [true, true], "there were two")
  }

  @Test("a session whose place another takes only receives from then on")
  func superseded() throws {
    var (net, slot) = try connected()
    net.hosts[0].node.install(
      session(net, index: 77), slot: slot, endpoint: net.hosts[1].endpoint, origin: .owner,
      startedAt: net.now, now: net.now)
    let neighbour = net.hosts[0].node.neighbours.entries[slot]
    #expect(neighbour.current?.session.receives(77) == true)
    #expect(neighbour.previous?.session.isSuperseded == true)
  }

  @Test("a peer that begins anew after our session was confirmed has its way, whatever the hashes")
  func beginsAnew() throws {
    for isKnownBefore in [false, true] {
      var (net, slot) = try connected()
      let ours = try #require(net.hosts[0].node.neighbours.entries[slot].current?.session)
      let confirmedAt = try #require(ours.confirmedAt)
      // Its hash is higher than any, so that it would lose.
      let session = Session(
        peer: net.hosts[1].identity.keyHash, role: .responder,
        handshakeHash: [UInt8](repeating: 255, count: 64), suite: .aes256GCM,
        root: [UInt8](repeating: 5, count: 64), receiveIndex: 78, peerIndex: 1,
        begun: isKnownBefore ? Instant(nanoseconds: confirmedAt.nanoseconds - 1) : confirmedAt, now: net.now)
      #expect(ours.stays(beside: session) == isKnownBefore)
      net.hosts[0].node.install(
        session, slot: slot, endpoint: net.hosts[1].endpoint, origin: .inbound, startedAt: net.now,
        now: net.now)
      if !isKnownBefore {
        #expect(net.hosts[0].node.neighbours.entries[slot].current?.session.receives(78) == true)
      }
    }
  }

  @Test("what comes for a session that has ended finds none")
  func ended() throws {
    var (net, slot) = try connected()
    let live = try #require(net.hosts[0].node.neighbours.entries[slot].current)
    let indexes = live.session.receiveIndexes
    #expect(!indexes.isEmpty && indexes.allSatisfy(net.hosts[0].node.neighbours.isTaken))
    net.hosts[0].node.endCurrent(slot, reason: "a test", now: net.now)
    #expect(!indexes.contains(where: net.hosts[0].node.neighbours.isTaken))
  }

  /// A new handshake with a peer that a session exists with.
  private func dialledAgain() throws -> (net: SmallInternet, slot: Int) {
    var (net, slot) = try connected()
    net.wire = { _, _, _ in [] }
    net.hosts[0].node.beginAttempt(slot, urgent: true, now: net.now)
    #expect(net.hosts[0].node.neighbours.entries[slot].attempt != nil)
    return (net, slot)
  }

  @Test("a handshake is over when its own session is confirmed, not when another is")
  func confirmed() throws {
    var (net, slot) = try dialledAgain()
    for isOwn in [false, true] {
      if isOwn {
        let serial = net.hosts[0].node.neighbours.entries[slot].current?.serial
        net.hosts[0].node.neighbours.entries[slot].attempt?.serial = serial
      }
      net.hosts[0].node.sessionActions = [.confirmed]
      net.hosts[0].node.performSessionActions(slot, current: true, net.now)
      #expect((net.hosts[0].node.neighbours.entries[slot].attempt == nil) == isOwn)
    }
  }

  @Test("a peer that has fallen silent gets our public key again: it may have forgotten it")
  func silence() throws {
    var (net, slot) = try connected()
    #expect(net.hosts[0].node.neighbours.entries[slot].holdsOurKey)
    net.hosts[0].node.sessionActions = [.wantsHandshake(.silence)]
    net.hosts[0].node.performSessionActions(slot, current: true, net.now)
    #expect(!net.hosts[0].node.neighbours.entries[slot].holdsOurKey)
    #expect(net.hosts[0].node.neighbours.entries[slot].attempt?.sendsPublicKey == true)
  }

  @Test("a receiver index that a session has is given to no other")
  func freshIndex() throws {
    var net = SmallInternet()
    _ = try net.addHost()
    var copy = net.hosts[0].node
    let next = copy.freshIndex()
    net.hosts[0].node.neighbours.route(next, to: 0)
    #expect(net.hosts[0].node.freshIndex() != next)
  }
}
