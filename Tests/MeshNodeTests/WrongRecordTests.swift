import MeshCrypto
import MeshNode
import MeshWire
import Testing

/// A backbone that hands out records which their owners did not make, or don't mean any more.
@Suite("Wrong records of a backbone")
struct WrongRecordTests {
  enum Lie: String, CaseIterable {
    case ofAnother, changed, signedByAnother, expired, older

    var reason: String {
      switch self {
      case .ofAnother: "another node's"
      case .changed: "its signature is wrong"
      case .signedByAnother: "its key is another node's"
      case .expired: "it has expired"
      case .older: "it is older than the one that is known"
      }
    }
  }

  /// Where the liar wants it to dial.
  private static let trap = Endpoint(.v4(0xcb00_7107), port: 8_443)

  private final class Seen { var reached = 0 }

  private func bundle(_ lie: Lie, of host: Int, by liar: Int, _ net: SmallInternet) throws -> [UInt8] {
    switch lie {
    case .ofAnother:
      return try net.record(of: liar, endpoint: Self.trap, isPublic: true).bundle
    case .changed:
      let good = try net.record(of: host, isPublic: true).bundle
      return replacing(net.hosts[host].endpoint.address.bytes, with: Self.trap.address.bytes, in: good)
    case .signedByAnother:
      let own = try net.record(of: liar, endpoint: Self.trap, isPublic: true).bundle
      var claimed = replacing(
        net.hosts[liar].identity.keyHash.bytes, with: net.hosts[host].identity.keyHash.bytes, in: own)
      // Length 2, body, key, signature: the liar's own, and good.
      let end = 2 + Int(claimed[0]) << 8 + Int(claimed[1])
      let signature = try net.hosts[liar].identity.sign(Array(claimed[2..<end]), context: .peerRecord)
      let start = end + IdentityPublicKey.size
      claimed.replaceSubrange(start..<start + signature.count, with: signature)
      return claimed
    case .expired:
      return try net.record(of: host, life: .seconds(-60), endpoint: Self.trap, isPublic: true).bundle
    case .older:
      return try net.record(of: host, sequence: 4, endpoint: Self.trap, isPublic: true).bundle
    }
  }

  private func replacing(_ old: [UInt8], with new: [UInt8], in bundle: [UInt8]) -> [UInt8] {
    var bundle = bundle
    let starts = bundle.indices.dropLast(old.count)
    if let start = starts.first(where: { Array(bundle[$0..<$0 + old.count]) == old }) {
      bundle.replaceSubrange(start..<start + old.count, with: new)
    }
    return bundle
  }

  @Test(
    "a wrong record is refused, counted and named, and never dialled; the true one is used when it comes",
    arguments: Lie.allCases)
  func refused(lie: Lie) throws {
    var net = SmallInternet()
    for _ in 0..<3 { _ = try net.addHost() }
    let (me, friend, liar) = (0, 1, 2)
    if lie == .older {
      // A newer one was seen, which names no endpoint to us.
      let known = try net.record(of: friend, sequence: 5)
      net.backbone = .records([net.peerID(friend): known.withoutPrivatePart.bundle])
      _ = net.hosts[me].node.lookUp(net.peerID(friend), now: net.now)
      net.settle(me)
    }
    net.backbone = .records([net.peerID(friend): try bundle(lie, of: friend, by: liar, net)])
    let seen = Seen()
    net.wire = { datagram, _, to in
      if to == Self.trap { seen.reached += 1 }
      return [datagram]
    }
    let entry = PeerEntry(peerID: net.peerID(friend), keyHash: net.hosts[friend].identity.keyHash)
    try net.hosts[me].node.addPeer(entry, now: net.now)
    net.settle(me)
    net.run(.seconds(3))
    #expect(seen.reached == 0)
    #expect(net.hosts[me].node.status(now: net.now).counters.recordsRefused >= 1)
    let told = net.hosts[me].events.contains {
      if case .recordRefused(net.peerID(friend), from: .backbone, let reason) = $0 {
        reason.contains(lie.reason)
      } else {
        false
      }
    }
    #expect(told)
    let trouble = net.state(of: friend, at: me)?.trouble ?? ""
    #expect(trouble.contains("the backbone") && trouble.contains(lie.reason), "\(trouble)")
    // The truth, when it comes, does.
    try net.publish(friend, admitting: [me], sequence: 6)
    net.run(.seconds(20))
    #expect(net.state(of: friend, at: me)?.path?.endpoint == net.hosts[friend].endpoint)
    #expect(net.state(of: friend, at: me)?.trouble == nil)
  }

  @Test("an older copy that a peer has kept is not told as a refused record: why nothing is found is")
  func olderCopy() throws {
    var net = SmallInternet()
    for _ in 0..<3 { _ = try net.addHost() }
    let (me, keeper, friend) = (0, 1, 2)
    try net.publish(friend, admitting: [keeper], sequence: 1)
    try net.pair(keeper, friend)
    net.run(.seconds(2))
    try net.pair(me, keeper)
    net.run(.seconds(2))
    // A newer one was seen, which names no endpoint to us.
    let known = try net.record(of: friend, sequence: 5)
    net.backbone = .records([net.peerID(friend): known.withoutPrivatePart.bundle])
    _ = net.hosts[me].node.lookUp(net.peerID(friend), now: net.now)
    net.settle(me)
    net.backbone = .away
    let before = net.hosts[me].node.status(now: net.now).counters.recordsRefused
    let gone = net.hosts[friend].endpoint
    net.wire = { datagram, from, to in from == gone || to == gone ? [] : [datagram] }
    let entry = PeerEntry(peerID: net.peerID(friend), keyHash: net.hosts[friend].identity.keyHash)
    try net.hosts[me].node.addPeer(entry, now: net.now)
    net.settle(me)
    net.run(.seconds(6))
    #expect(net.hosts[me].node.status(now: net.now).counters.recordsRefused > before, "it was handed over")
    let isTold = net.hosts[me].events.contains { if case .recordRefused = $0 { true } else { false } }
    #expect(!isTold)
    let trouble = net.state(of: friend, at: me)?.trouble ?? ""
    #expect(trouble.contains("the backbone could not be asked") && !trouble.contains("older"), "\(trouble)")
  }
}
