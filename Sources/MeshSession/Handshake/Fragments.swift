import MeshCrypto
import MeshWire

/// A message cut into datagrams that are made once and resent as they are.
struct OutgoingFragments {
  let datagrams: [[UInt8]]
  /// Bit i: datagram i has been acknowledged.
  var acknowledged: UInt16 = 0

  init(_ datagrams: [[UInt8]]) { self.datagrams = datagrams }

  static func + (a: OutgoingFragments, b: OutgoingFragments) -> OutgoingFragments {
    OutgoingFragments(a.datagrams + b.datagrams)
  }

  private var all: UInt16 { 1 << UInt16(datagrams.count) - 1 }

  /// Takes an Ack, which says all that its sender has, so it may also take bits back. Returns whether there
  /// are new bits.
  mutating func acknowledge(_ bitmap: UInt16) -> Bool {
    let news = bitmap & all & ~acknowledged != 0
    acknowledged = bitmap & all
    return news
  }

  mutating func acknowledgeAll() { acknowledged = all }

  var isAcknowledged: Bool { acknowledged == all }

  var missing: [[UInt8]] {
    datagrams.indices.filter { acknowledged >> UInt16($0) & 1 == 0 }.map { datagrams[$0] }
  }

  /// A body in the clear, each datagram with its mac.
  static func clear(
    _ kind: Layout.Kind, _ body: [UInt8], suite: UInt8, receiver: UInt64, macKey: [UInt8]
  ) -> OutgoingFragments {
    let count = Layout.fragmentCount(body.count)
    return OutgoingFragments(
      (0..<count).map { index in
        HandshakeDatagram.encode(
          kind, suite: suite, index: index, count: count, receiver: receiver, rest: part(body, index),
          macKey: macKey)
      })
  }

  /// A body of which each datagram is sealed: the tag stands in the mac field.
  static func sealed(
    _ kind: Layout.Kind, _ body: [UInt8], suite: AEADSuite, receiver: UInt64, key: AEADKey
  ) -> OutgoingFragments {
    let count = Layout.fragmentCount(body.count)
    return OutgoingFragments(
      (0..<count).map { index in
        let head = HandshakeDatagram.head(
          kind, suite: suite.rawValue, index: index, count: count, receiver: receiver)
        let (text, tag) = key.seal(part(body, index), counter: UInt64(index), associated: head)
        return head + tag + text
      })
  }

  private static func part(_ body: [UInt8], _ index: Int) -> [UInt8] {
    let start = index * Layout.fragmentSize
    return Array(body[start..<start + Layout.fragmentLength(index, of: body.count)])
  }
}

/// A message on its way to being whole: at most seven fragments.
struct Reassembly {
  private(set) var parts: [[UInt8]?]

  init(count: Int) { parts = Array(repeating: nil, count: count) }

  var count: Int { parts.count }
  var isComplete: Bool { parts.allSatisfy { $0 != nil } }
  var isEmpty: Bool { parts.allSatisfy { $0 == nil } }
  /// Bit i: fragment i is here.
  var bitmap: UInt16 {
    parts.indices.reduce(0) { $0 | (parts[$1] == nil ? 0 : 1 << UInt16($1)) }
  }
  var body: [UInt8] { parts.flatMap { $0 ?? [] } }

  mutating func put(_ part: [UInt8], at index: Int) { parts[index] = part }
}

extension HandshakeDatagram {
  /// The plaintext of a fragment of M2b or M3; `nil` when its tag doesn't hold.
  func opened(with key: AEADKey) -> [UInt8]? {
    key.open(rest, counter: UInt64(index), associated: head, tag: mac)
  }
}
