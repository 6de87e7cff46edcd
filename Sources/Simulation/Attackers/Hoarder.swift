import MeshCrypto
import MeshWire

/// Someone with many addresses of his own, who begins handshakes with one node, returns its cookies, and
/// never goes on: but for an Ack now and then, so that he isn't forgotten.
struct Hoarder: Attacker {
  let target: KeyHash
  let endpoint: Endpoint
  /// Networks of his, and addresses that he uses in each.
  let prefixes: Int
  let perPrefix: Int
  /// Handshakes begun every ``World/attackPace``.
  let perAct: Int
  /// An Ack this often, and another bitmap each time, looks like progress.
  static let ackInterval = Duration.seconds(4)
  /// An attempt that nothing came of is begun again.
  static let patience = Duration.seconds(8)

  private let offer: [UInt8]
  private var chance: Chance
  private var next = 0
  private var held: [Endpoint: Held] = [:]
  /// In the order in which something is due for them.
  private var due: [(at: Instant, source: Endpoint)] = []

  private struct Held {
    let m1: ForgedDatagrams.M1
    var responder: UInt64?
    var acks = 0
    var heard: Instant
  }

  init(
    target: KeyHash, endpoint: Endpoint, prefixes: Int, perPrefix: Int, perAct: Int, chance: Chance
  ) {
    self.target = target
    self.endpoint = endpoint
    self.prefixes = prefixes
    self.perPrefix = perPrefix
    self.perAct = perAct
    var chance = chance
    offer = ForgedDatagrams.offer(&chance)
    self.chance = chance
  }

  /// Address `number` of all of his: one in each network first, then the next.
  private func address(_ number: Int) -> Endpoint {
    let (round, prefix) = (number / prefixes, number % prefixes)
    return Endpoint(.v4(0x1400_0001 + UInt32(prefix) << 8 + UInt32(round % 200)), port: 4_000)
  }

  mutating func acts(now: Instant) -> [Forgery] {
    var forgeries: [Forgery] = []
    for _ in 0..<perAct {
      let source = address(next % (prefixes * perPrefix))
      next += 1
      if let known = held[source], now - known.heard < Self.patience { continue }
      let m1 = ForgedDatagrams.M1(
        initiator: chance.next(), random: chance.bytes(32),
        receiverIndex: UInt32(truncatingIfNeeded: chance.next()) | 1, offer: offer)
      held[source] = Held(m1: m1, heard: now)
      forgeries += m1.datagrams(to: target).map { send($0, from: source) }
    }
    while let first = due.first, first.at <= now {
      due.removeFirst()
      guard var known = held[first.source], let responder = known.responder else { continue }
      guard now - known.heard < Self.patience * 4 else {
        held[first.source] = nil
        continue
      }
      known.acks += 1
      held[first.source] = known
      due.append((now + Self.ackInterval, first.source))
      let bitmap: UInt16 = known.acks.isMultiple(of: 2) ? 0x1fd : 0x1fe
      forgeries.append(
        send(ForgedDatagrams.ack(bitmap, id: responder, random: known.m1.random), from: first.source))
    }
    return forgeries
  }

  mutating func sees(_ passing: PassingDatagram, now: Instant) -> [Forgery] {
    guard passing.source == endpoint, let known = held[passing.destination],
      ForgedDatagrams.id(in: passing.bytes) == known.m1.initiator
    else { return [] }
    held[passing.destination]?.heard = now
    if passing.bytes[0] == ForgedDatagrams.retry {
      let cookie = Array(passing.bytes[ForgedDatagrams.headerSize...])
      return known.m1.datagrams(to: target, cookie: cookie).map { send($0, from: passing.destination) }
    }
    guard known.responder == nil, let responder = ForgedDatagrams.responder(in: passing.bytes)
    else { return [] }
    held[passing.destination]?.responder = responder
    due.append((now + Self.ackInterval, passing.destination))
    return [
      send(ForgedDatagrams.ack(0x1fe, id: responder, random: known.m1.random), from: passing.destination)
    ]
  }

  private func send(_ bytes: [UInt8], from source: Endpoint) -> Forgery {
    Forgery(bytes: bytes, source: source, destination: endpoint, after: .milliseconds(20))
  }
}
