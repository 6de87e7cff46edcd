import MeshCrypto
import MeshWire

/// Someone on the way who mixes forged fragments, Acks and cookies into the handshakes that he sees, each
/// with the mac that it needs where the specification lets anyone make it.
struct FragmentForger: Attacker {
  /// One in so many datagrams leads to a forgery.
  let probability: Double
  private let names: [Endpoint: KeyHash]
  private var known = Eavesdropper()
  private var chance: Chance

  /// - Parameter names: who is where, which is no secret.
  init(names: [Endpoint: KeyHash], probability: Double, chance: Chance) {
    self.names = names
    self.probability = probability
    self.chance = chance
  }

  mutating func acts(now: Instant) -> [Forgery] { [] }

  mutating func sees(_ passing: PassingDatagram, now: Instant) -> [Forgery] {
    guard let first = passing.bytes.first, ForgedDatagrams.id(in: passing.bytes) != nil else { return [] }
    known.note(passing)
    guard chance.happens(probability) else { return [] }
    // Half of them come before what they imitate.
    let after = chance.duration(upTo: passing.arrivesIn * 2)
    func there(_ bytes: [UInt8]?) -> [Forgery] {
      bytes.map {
        [Forgery(bytes: $0, source: passing.source, destination: passing.destination, after: after)]
      } ?? []
    }
    func back(_ bytes: [UInt8]?) -> [Forgery] {
      bytes.map {
        [Forgery(bytes: $0, source: passing.destination, destination: passing.source, after: after)]
      } ?? []
    }
    switch first {
    case ForgedDatagrams.m1:
      return chance.happens(0.3) ? back(retry(passing.bytes)) : there(altered(m1: passing))
    case ForgedDatagrams.m2a:
      switch chance.index(below: 3) {
      case 0: return there(altered(clear: passing.bytes))
      case 1: return back(ack(to: ForgedDatagrams.responder(in: passing.bytes), passing.bytes))
      default: return there(sealed(ForgedDatagrams.m2b, like: passing.bytes))
      }
    case ForgedDatagrams.m2b: return there(sealed(ForgedDatagrams.m2b, like: passing.bytes))
    case ForgedDatagrams.m3:
      let initiator = known.handshake(of: passing.bytes)?.id
      return chance.happens(0.5)
        ? there(sealed(ForgedDatagrams.m3, like: passing.bytes)) : back(ack(to: initiator, passing.bytes))
    default: return there(altered(clear: passing.bytes))
    }
  }

  /// A fragment of M1 with other bytes, for another number of fragments, or under another id.
  private mutating func altered(m1 passing: PassingDatagram) -> [UInt8]? {
    guard let target = names[passing.destination], passing.bytes.count == ForgedDatagrams.m1Size,
      var id = ForgedDatagrams.id(in: passing.bytes)
    else { return nil }
    var fragment = Array(passing.bytes[ForgedDatagrams.m1HeaderSize...])
    let index = Int(passing.bytes[3])
    var count = Int(passing.bytes[4])
    switch chance.index(below: 6) {
    case 0 where index < 2: count = count == 2 ? 3 : 2
    case 1: id = chance.next()
    default:
      // Within what is no padding, or it would be dropped for that.
      let used = index == 0 ? fragment.count : 445
      if index < 2 { fragment[chance.index(below: used)] ^= UInt8(1 + chance.index(below: 255)) }
    }
    return ForgedDatagrams.m1Datagram(
      fragment, index: index, count: count, initiator: id,
      cookie: Array(passing.bytes[13..<29]), target: target)
  }

  /// A fragment of M2a, a Retry or an Ack with other bytes and a good mac.
  private mutating func altered(clear datagram: [UInt8]) -> [UInt8]? {
    guard let (_, handshake) = known.handshake(of: datagram), let id = ForgedDatagrams.id(in: datagram),
      datagram.count > ForgedDatagrams.headerSize
    else { return nil }
    var rest = Array(datagram[ForgedDatagrams.headerSize...])
    rest[chance.index(below: rest.count)] ^= UInt8(1 + chance.index(below: 255))
    return ForgedDatagrams.clear(
      datagram[0], suite: datagram[2], index: Int(datagram[3]), count: Int(datagram[4]),
      id: chance.happens(0.1) ? chance.next() : id, rest: rest, random: handshake.random)
  }

  /// A fragment that nobody can open, in the place of any of its message.
  private mutating func sealed(_ kind: UInt8, like datagram: [UInt8]) -> [UInt8]? {
    guard let id = ForgedDatagrams.id(in: datagram) else { return nil }
    let count = chance.happens(0.9) == (datagram[4] == 7) ? 7 : 4
    let index = chance.index(below: count)
    let whole = count == 7 ? 7_283 : 4_691
    let size = min(ForgedDatagrams.fragmentSize, whole - index * ForgedDatagrams.fragmentSize)
    let head = ForgedDatagrams.head(
      kind, suite: datagram[2], index: index, count: count, id: chance.happens(0.1) ? chance.next() : id)
    return head + chance.bytes(16 + size)
  }

  /// An Ack of whatever comes to mind: nothing, all, or some.
  private mutating func ack(to id: UInt64?, _ datagram: [UInt8]) -> [UInt8]? {
    guard let id, let (_, handshake) = known.handshake(of: datagram) else { return nil }
    let bitmap = chance.pick([0, 0xffff, UInt16(truncatingIfNeeded: chance.next()) & 0x1ff])
    return ForgedDatagrams.ack(bitmap, id: id, random: handshake.random)
  }

  /// A Retry with a cookie that is good for nothing.
  private mutating func retry(_ datagram: [UInt8]) -> [UInt8]? {
    guard let (id, handshake) = known.handshake(of: datagram) else { return nil }
    return ForgedDatagrams.clear(
      ForgedDatagrams.retry, suite: 0, index: 0, count: 1, id: id, rest: chance.bytes(16),
      random: handshake.random)
  }
}
