import Kademlia
import MeshCrypto
import MeshWire
import Testing

@testable import MeshNode

@Suite("Records that owners push to the nodes nearest to themselves")
struct PublishingTests {
  /// Public nodes 1 and 2 in a row: the private node 0 is 1's peer, and node 3 is 2's. Nobody else knows
  /// anybody, and no backbone answers.
  private func net(admitting: [Int] = [1, 3]) throws -> SmallInternet {
    var net = SmallInternet()
    _ = try net.addHost()
    for _ in 0..<2 { _ = try net.addHost(.lightPublic) }
    _ = try net.addHost()
    net.backbone = .away
    for host in [1, 2] {
      net.hosts[host].node.setOwnRecord(try net.record(of: host, isPublic: true), now: net.now)
    }
    try net.pair(1, 2)
    try net.pair(2, 3)
    net.run(.seconds(20))
    try net.pair(0, 1)
    net.run(.seconds(1))
    net.hosts[0].node.setOwnRecord(try net.record(of: 0, admitting: admitting), now: net.now)
    net.settle(0)
    return net
  }

  private func lookUp(_ net: inout SmallInternet, _ target: Int, from host: Int) -> LookupOutcome? {
    let id = net.hosts[host].node.lookUp(net.peerID(target), now: net.now)
    net.settle(host)
    net.run(.seconds(30))
    for event in net.hosts[host].events {
      if case .lookupFinished(id, let outcome) = event { return outcome }
    }
    return nil
  }

  private func held(_ net: SmallInternet, of owner: Int, at host: Int) -> PeerRecord? {
    net.hosts[host].node.records.record(net.peerID(owner))
  }

  @Test("with every backbone gone, a node that never met the owner finds its record")
  func found() throws {
    var net = try net()
    net.run(.seconds(20))
    #expect(net.hosts[0].node.counters.recordsPushed == 1)
    #expect(held(net, of: 0, at: 2)?.body.sequence == SequenceNumber(1))
    guard case .found(let record, .peers, _)? = lookUp(&net, 0, from: 3) else {
      Issue.record("not found")
      return
    }
    #expect(record.keyHash == net.hosts[0].identity.keyHash)
  }

  @Test("privacy: who is not admitted is never sent where a private node is, and hands on no more")
  func privatePart() throws {
    var net = try net()
    net.run(.seconds(20))
    #expect(held(net, of: 0, at: 2) != nil && held(net, of: 0, at: 2)?.privatePart == nil)
    #expect(net.hosts[2].node.counters.privatePartsDropped == 0, "it was not sent one")
    #expect(held(net, of: 0, at: 1)?.privatePart != nil, "a peer")
    guard case .found(let record, .peers, _)? = lookUp(&net, 0, from: 3) else {
      Issue.record("not found")
      return
    }
    #expect(record.endpoints.isEmpty)
    #expect(record.isTombstone == false)
  }

  @Test("privacy: a private part that a guest sends all the same is not kept by who isn't admitted")
  func careless() throws {
    var net = try net(admitting: [])
    net.run(.seconds(20))
    let slot = try #require(net.hosts[2].node.neighbours.slot(net.peerID(0)))
    let whole = try net.record(of: 0, sequence: 2)
    #expect(whole.privatePart != nil)
    net.run(.seconds(15))
    net.hosts[2].node.receiveControl(
      ControlMessage.announce(.init(bundle: whole.bundle)).encoded, slot: slot, now: net.now)
    net.settle(2)
    let kept = held(net, of: 0, at: 2)
    #expect(kept?.body.sequence == SequenceNumber(2) && kept?.privatePart == nil)
    #expect(net.hosts[2].node.counters.privatePartsDropped == 1)
  }

  @Test("a renewed record is searched a place for once, and takes the older one's")
  func renewal() throws {
    var net = try net()
    net.run(.seconds(100))
    #expect(net.hosts[0].node.counters.recordsPushed == 1)
    net.hosts[0].node.setOwnRecord(try net.record(of: 0, sequence: 2, admitting: [1]), now: net.now)
    net.settle(0)
    net.run(.seconds(100))
    #expect(net.hosts[0].node.counters.recordsPushed == 2)
    #expect(held(net, of: 0, at: 2)?.body.sequence == SequenceNumber(2))
    #expect(held(net, of: 0, at: 1)?.body.sequence == SequenceNumber(2))
  }

  @Test("a node that knows nobody yet pushes its record when it does")
  func later() throws {
    var net = SmallInternet()
    for _ in 0..<2 { _ = try net.addHost(.lightPublic) }
    net.backbone = .away
    net.hosts[0].node.setOwnRecord(try net.record(of: 0, isPublic: true), now: net.now)
    net.run(.seconds(30))
    #expect(net.hosts[0].node.publication.due != nil)
    try net.pair(0, 1)
    net.run(.seconds(70))
    #expect(net.hosts[0].node.publication.due == nil)
  }

  /// Host 2 after announcements by host 0, which is not its peer, in one session.
  private func announced(_ records: [(SmallInternet) throws -> PeerRecord]) throws -> SmallInternet {
    var net = try net()
    net.run(.seconds(30))
    let slot = try #require(net.hosts[2].node.neighbours.slot(net.peerID(0)))
    for record in records {
      let message = ControlMessage.announce(.init(bundle: try record(net).bundle))
      net.hosts[2].node.receiveControl(message.encoded, slot: slot, now: net.now)
      net.settle(2)
    }
    return net
  }

  @Test("poison: nobody leaves a record of someone else")
  func foreign() throws {
    let net = try announced([{ try $0.record(of: 3) }])
    #expect(net.drops(2, .controlMalformed) == 1)
    let one = try announced([{ try $0.record(of: 1, sequence: 9, isPublic: true) }])
    #expect(held(one, of: 1, at: 2)?.body.sequence == SequenceNumber(1))
  }

  @Test("poison: asked for its own record, a contact can't hand us another's")
  func foreignContactRecord() throws {
    for (owner, isTaken) in [(3, false), (0, true)] {
      var net = try net()
      net.run(.seconds(30))
      let slot = try #require(net.hosts[2].node.neighbours.slot(net.peerID(0)))
      let request = net.hosts[2].node.requests.add(.contactRecord, to: net.peerID(0), now: net.now)
      let record = try net.record(of: owner, sequence: 5)
      let message = ControlMessage.record(try #require(request), .init(bundle: record.bundle))
      net.hosts[2].node.receiveControl(message.encoded, slot: slot, now: net.now)
      net.settle(2)
      #expect(net.drops(2, .controlMalformed) == (isTaken ? 0 : 1))
      #expect((held(net, of: owner, at: 2)?.body.sequence == SequenceNumber(5)) == isTaken)
    }
  }

  @Test("flood: who is no peer has one record checked in fifteen seconds")
  func budget() throws {
    let net = try announced([{ try $0.record(of: 0, sequence: 2) }, { try $0.record(of: 0, sequence: 3) }])
    #expect(held(net, of: 0, at: 2)?.body.sequence == SequenceNumber(2))
    #expect(net.drops(2, .controlOverBudget) == 1)
  }

  @Test("a contact is named to others once its own record says that it is public")
  func named() throws {
    var net = SmallInternet()
    for _ in 0..<3 { _ = try net.addHost(.lightPublic) }
    _ = try net.addHost()
    for host in 1..<3 {
      net.hosts[host].node.setOwnRecord(try net.record(of: host, isPublic: true), now: net.now)
    }
    net.hosts[3].node.setOwnRecord(try net.record(of: 3), now: net.now)
    // Not peers: 0 reaches them as a look-up would.
    for host in 1..<4 {
      let hint = ContactHint(
        keyHash: net.hosts[host].identity.keyHash, endpoint: net.hosts[host].endpoint, sequence: 0)
      net.hosts[0].node.reach(hint, with: .ping(ControlMessage.RequestID(number: 7)), now: net.now)
      net.settle(0)
    }
    net.run(.seconds(3))
    let named = net.hosts[0].node.hints(near: net.peerID(0), for: net.peerID(1)).map(\.peerID)
    #expect(named == [net.peerID(2)])
    // It stays so when the record has expired: it says no more than it did.
    net.run(.seconds(100))
    net.hosts[0].node.advance(to: net.now, wall: net.wall + .seconds(8_000))
    #expect(net.hosts[0].node.hints(near: net.peerID(0), for: net.peerID(1)).count == 1)
  }
}
