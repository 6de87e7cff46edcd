import MeshCrypto
import MeshWire

/// The datagrams of a handshake as somebody makes them who has read the specification and holds none of the
/// secrets (SMH1.md §2, §3, §5): independent of the library that they are thrown at.
enum ForgedDatagrams {
  static let m1: UInt8 = 2
  static let retry: UInt8 = 3
  static let m2a: UInt8 = 4
  static let m2b: UInt8 = 5
  static let m3: UInt8 = 6
  static let ack: UInt8 = 7

  static let m1HeaderSize = 45
  static let m1FragmentSize = 1_187
  static let m1Size = 1_232
  static let headerSize = 29
  static let fragmentSize = 1_203
  /// Where the random stands in the second datagram of an M1.
  static let randomRange = 45 + 413..<45 + 445

  /// What is fresh in an M1: the id and the random, and where its packets are to go.
  struct M1 {
    let initiator: UInt64
    let random: [UInt8]
    let receiverIndex: UInt32
    let offer: [UInt8]

    /// Two datagrams, for somebody whose KeyHash is known.
    func datagrams(to target: KeyHash, cookie: [UInt8]? = nil) -> [[UInt8]] {
      var body = offer + random + [1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0]
      body.append(bigEndian: receiverIndex)
      body += repeatElement(0, count: 2 * ForgedDatagrams.m1FragmentSize - body.count)
      return (0..<2).map { index in
        let start = index * ForgedDatagrams.m1FragmentSize
        return ForgedDatagrams.m1Datagram(
          Array(body[start..<start + ForgedDatagrams.m1FragmentSize]), index: index, count: 2,
          initiator: initiator, cookie: cookie ?? [UInt8](repeating: 0, count: 16), target: target)
      }
    }
  }

  static func m1Datagram(
    _ fragment: [UInt8], index: Int, count: Int, initiator: UInt64, cookie: [UInt8], target: KeyHash
  ) -> [UInt8] {
    let header = head(m1, suite: 0, index: index, count: count, id: initiator) + cookie
    let key = Primitives.sha256(Array("SMH/1 mac1".utf8) + target.bytes)
    return header + Primitives.hmacSHA256(key: key, header + fragment)[..<16] + fragment
  }

  /// A datagram in the clear, for which the random of M1 suffices: anyone on the way has seen it.
  static func clear(
    _ kind: UInt8, suite: UInt8, index: Int, count: Int, id: UInt64, rest: [UInt8], random: [UInt8]
  ) -> [UInt8] {
    let head = head(kind, suite: suite, index: index, count: count, id: id)
    let key = Primitives.sha256(Array("SMH/1 mac2".utf8) + random)
    return head + Primitives.hmacSHA256(key: key, head + rest)[..<16] + rest
  }

  static func ack(_ bitmap: UInt16, id: UInt64, random: [UInt8]) -> [UInt8] {
    clear(
      ack, suite: 0, index: 0, count: 1, id: id,
      rest: [UInt8(bitmap >> 8), UInt8(truncatingIfNeeded: bitmap)], random: random)
  }

  static func head(_ kind: UInt8, suite: UInt8, index: Int, count: Int, id: UInt64) -> [UInt8] {
    var head = [kind, 1, suite, UInt8(index), UInt8(count)]
    head.append(bigEndian: id)
    return head
  }

  /// The id in a handshake datagram: the initiator's in M1, the receiver's in the others.
  static func id(in datagram: [UInt8]) -> UInt64? {
    guard datagram.count > headerSize, (m1...ack).contains(datagram[0]) else { return nil }
    return datagram[5..<13].reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// The responder's id in the first fragment of M2a.
  static func responder(in datagram: [UInt8]) -> UInt64? {
    guard datagram.count > headerSize + 8, datagram[0] == m2a, datagram[3] == 0 else { return nil }
    return datagram[headerSize..<headerSize + 8].reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// The random in the second fragment of M1.
  static func initiatorRandom(in datagram: [UInt8]) -> [UInt8]? {
    guard datagram.count == m1Size, datagram[0] == m1, datagram[3] == 1 else { return nil }
    return Array(datagram[randomRange])
  }

  /// An offer that opens nothing anyone would want opened; the same for all attackers.
  static func offer(_ chance: inout Chance) -> [UInt8] {
    guard let secret = try? KeyExchangeSecret(x25519Seed: chance.bytes(32), mlkemSeed: chance.bytes(64))
    else {
      preconditionFailure("seeds of the right size")
    }
    return secret.offer.bytes
  }
}
