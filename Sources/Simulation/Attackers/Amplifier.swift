import MeshCrypto
import MeshWire

/// Someone who wants others to send much to a victim in whose name he sends little. He sees what passes
/// between nodes, and nothing of what the victim gets.
struct Amplifier: Attacker {
  /// Addresses where nobody answers.
  let victims: [Endpoint]
  private let names: [Endpoint: KeyHash]
  private let targets: [Endpoint]
  private var known = Eavesdropper()
  private let offer: [UInt8]
  private var chance: Chance
  /// Where he really is, to get a cookie of his own.
  private let own: Endpoint
  private var asked: [UInt64: ForgedDatagrams.M1] = [:]

  init(victims: [Endpoint], own: Endpoint, names: [(Endpoint, KeyHash)], chance: Chance) {
    self.victims = victims
    self.own = own
    self.names = Dictionary(names) { first, _ in first }
    targets = names.map(\.0)
    var chance = chance
    offer = ForgedDatagrams.offer(&chance)
    self.chance = chance
  }

  mutating func sees(_ passing: PassingDatagram, now: Instant) -> [Forgery] {
    guard !victims.contains(passing.destination) else { return [] }
    if passing.destination == own { return answered(passing) }
    known.note(passing)
    guard chance.happens(0.3) else { return [] }
    // In the victim's name, and sooner than the original if it can be: the newest packet of a session, from
    // elsewhere, draws a path challenge; an M1 with its cookie, an Ack or an M3 may draw the rest of M2.
    let victim = chance.pick(victims)
    var forgeries = [
      Forgery(
        bytes: passing.bytes, source: victim, destination: passing.destination,
        after: chance.duration(upTo: passing.arrivesIn))
    ]
    if let (_, handshake) = known.handshake(of: passing.bytes), let responder = handshake.responderID {
      forgeries.append(
        Forgery(
          bytes: ForgedDatagrams.ack(0, id: responder, random: handshake.random), source: victim,
          destination: handshake.responder, after: .milliseconds(5)))
    }
    return forgeries
  }

  mutating func acts(now: Instant) -> [Forgery] {
    guard chance.happens(0.2) else { return [] }
    let target = chance.pick(targets)
    guard let name = names[target] else { return [] }
    let victim = chance.pick(victims)
    let m1 = ForgedDatagrams.M1(
      initiator: chance.next(), random: chance.bytes(32),
      receiverIndex: UInt32(truncatingIfNeeded: chance.next()) | 1, offer: offer)
    let datagrams = m1.datagrams(to: name)
    switch chance.index(below: 5) {
    case 0: return [send(datagrams[1], from: victim, to: target)]
    case 1:
      // A cookie for his own address, to be shown in the victim's name.
      asked[m1.initiator] = m1
      return [send(datagrams[1], from: own, to: target)]
    case 2:
      // The last fragment again and again asks for M2 again.
      return (datagrams + Array(repeating: datagrams[1], count: 4)).map { send($0, from: victim, to: target) }
    case 3:
      let ack = ForgedDatagrams.ack(0, id: chance.next(), random: m1.random)
      return Array(repeating: send(ack, from: victim, to: target), count: 3)
    default: return datagrams.map { send($0, from: victim, to: target) }
    }
  }

  private mutating func answered(_ passing: PassingDatagram) -> [Forgery] {
    guard let id = ForgedDatagrams.id(in: passing.bytes), let m1 = asked.removeValue(forKey: id),
      passing.bytes[0] == ForgedDatagrams.retry, let name = names[passing.source]
    else { return [] }
    let cookie = Array(passing.bytes[ForgedDatagrams.headerSize...])
    let victim = chance.pick(victims)
    return m1.datagrams(to: name, cookie: cookie).map { send($0, from: victim, to: passing.source) }
  }

  private func send(_ bytes: [UInt8], from source: Endpoint, to target: Endpoint) -> Forgery {
    Forgery(bytes: bytes, source: source, destination: target, after: .milliseconds(20))
  }
}
