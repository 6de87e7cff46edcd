import MeshCrypto
import MeshWire

/// A datagram of M1, taken apart. Its shape has been checked against SMH1.md §2, its mac1 hasn't.
struct M1Datagram {
  let index: Int
  let count: Int
  let initiator: UInt64
  let cookie: ArraySlice<UInt8>
  let mac1: ArraySlice<UInt8>
  /// What mac1 covers besides the fragment.
  let authenticatedHeader: ArraySlice<UInt8>
  /// 1,187 bytes, padding included.
  let fragment: ArraySlice<UInt8>

  init?(_ bytes: [UInt8]) {
    guard bytes.count == Layout.basePayload, bytes[0] == Layout.Kind.m1.rawValue,
      bytes[1] == Layout.version, bytes[2] == 0, bytes[4] == 2 || bytes[4] == 3, bytes[3] < bytes[4]
    else { return nil }
    index = Int(bytes[3])
    count = Int(bytes[4])
    initiator = bytes.bigEndian64(at: 5)
    cookie = bytes[Layout.m1CookieOffset..<Layout.m1MacOffset]
    mac1 = bytes[Layout.m1MacOffset..<Layout.m1HeaderSize]
    authenticatedHeader = bytes[..<Layout.m1MacOffset]
    fragment = bytes[Layout.m1HeaderSize...]
    guard fragment.dropFirst(Self.used(index)).allSatisfy({ $0 == 0 }) else { return nil }
  }

  /// Bytes of the body in fragment `index`; the rest is padding.
  static func used(_ index: Int) -> Int {
    max(0, min(Layout.m1FragmentSize, Layout.m1BodySize - index * Layout.m1FragmentSize))
  }

  /// Datagram `index` of `count` for a body of 1,664 bytes.
  static func encode(
    body: [UInt8], index: Int, count: Int, initiator: UInt64, cookie: [UInt8], mac1Key: [UInt8]
  ) -> [UInt8] {
    var header: [UInt8] = [
      Layout.Kind.m1.rawValue, Layout.version, 0, UInt8(index), UInt8(count),
    ]
    header.append(bigEndian: initiator)
    header += cookie
    let start = min(body.count, index * Layout.m1FragmentSize)
    var fragment = Array(body[start..<start + used(index)])
    fragment += repeatElement(0, count: Layout.m1FragmentSize - fragment.count)
    return header + Macs.mac1(key: mac1Key, header: header[...], fragment: fragment[...]) + fragment
  }
}

/// A datagram of types 3 to 7, taken apart. Its shape has been checked against SMH1.md §2, its mac hasn't.
struct HandshakeDatagram {
  let kind: Layout.Kind
  let suite: UInt8
  let index: Int
  let count: Int
  /// The id that the receiving side chose.
  let receiver: UInt64
  /// The first 13 bytes, which every mac and tag covers.
  let head: [UInt8]
  /// mac or tag.
  let mac: [UInt8]
  let rest: [UInt8]

  init?(_ bytes: [UInt8]) {
    guard bytes.count > Layout.headerSize, let kind = Layout.Kind(rawValue: bytes[0]),
      bytes[1] == Layout.version, bytes[3] < bytes[4]
    else { return nil }
    let size: Int
    switch (kind, bytes[4]) {
    case (.retry, 1): size = Layout.cookieSize
    case (.ack, 1): size = Layout.ackSize - Layout.headerSize
    case (.m2a, 2): size = Layout.fragmentLength(Int(bytes[3]), of: Layout.m2aBodySize)
    case (.m2b, 4), (.m3, 4): size = Layout.fragmentLength(Int(bytes[3]), of: Layout.identityBodySize)
    case (.m2b, 7), (.m3, 7):
      size = Layout.fragmentLength(Int(bytes[3]), of: Layout.identityBodySizeWithKey)
    default: return nil
    }
    guard bytes.count == Layout.headerSize + size, kind != .retry || bytes[2] == 0 else { return nil }
    self.kind = kind
    suite = bytes[2]
    index = Int(bytes[3])
    count = Int(bytes[4])
    receiver = bytes.bigEndian64(at: 5)
    head = Array(bytes[..<Layout.headSize])
    mac = Array(bytes[Layout.headSize..<Layout.headerSize])
    rest = Array(bytes[Layout.headerSize...])
  }

  /// The first 13 bytes.
  static func head(
    _ kind: Layout.Kind, suite: UInt8, index: Int, count: Int, receiver: UInt64
  ) -> [UInt8] {
    var head = [kind.rawValue, Layout.version, suite, UInt8(index), UInt8(count)]
    head.append(bigEndian: receiver)
    return head
  }

  /// A datagram in the clear: Retry, M2a, Ack.
  static func encode(
    _ kind: Layout.Kind, suite: UInt8, index: Int, count: Int, receiver: UInt64, rest: [UInt8],
    macKey: [UInt8]
  ) -> [UInt8] {
    let head = head(kind, suite: suite, index: index, count: count, receiver: receiver)
    return head + Macs.clear(key: macKey, head: head, rest: rest) + rest
  }

  /// Whether the mac of a datagram in the clear holds.
  func isAuthentic(macKey: [UInt8]) -> Bool {
    constantTimeEqual(mac, Macs.clear(key: macKey, head: head, rest: rest))
  }

  /// The bitmap of an Ack.
  var bitmap: UInt16 { UInt16(rest[0]) << 8 | UInt16(rest[1]) }

  /// An Ack.
  static func ack(_ bitmap: UInt16, suite: UInt8, receiver: UInt64, macKey: [UInt8]) -> [UInt8] {
    encode(
      .ack, suite: suite, index: 0, count: 1, receiver: receiver,
      rest: [UInt8(bitmap >> 8), UInt8(truncatingIfNeeded: bitmap)], macKey: macKey)
  }
}

extension [UInt8] {
  /// Eight bytes from `offset` on, which must be there.
  func bigEndian64(at offset: Int) -> UInt64 {
    self[offset..<offset + 8].reduce(0) { $0 << 8 | UInt64($1) }
  }
}
