public import MeshWire

/// A STUN message (RFC 8489 §5), of which this project speaks the Binding method over UDP.
///
/// Header: two zero bits and type 14 bits, length 2, magic cookie 4, transaction 12; then attributes of type
/// 2, length 2 and a value padded to four bytes.
public struct STUNMessage: Sendable, Hashable {
  /// RFC 8489 §5: tells STUN from its forerunner, and, here, from SMH/1.
  public static let cookie: UInt32 = 0x2112_a442
  public static let headerSize = 20
  /// Nothing longer is read: an unfragmented datagram of IPv6 is no longer.
  public static let sizeLimit = 1_280
  /// The Binding method (RFC 8489 §3), the only one spoken here.
  public static let binding: UInt16 = 0x001
  static let fingerprintMask: UInt32 = 0x5354_554e
  static let fingerprintSize = 8

  /// RFC 8489 §5: two bits of the type.
  public enum Class: UInt8, Sendable, Hashable, CaseIterable {
    case request = 0
    case indication = 1
    case success = 2
    case failure = 3
  }

  public var messageClass: Class
  /// 12 bits.
  public var method: UInt16
  public var transaction: STUNTransaction
  /// In their order. Only the first of each type counts.
  public var attributes: [STUNAttribute]
  /// Whether a FINGERPRINT is at its end (RFC 8489 §14.7).
  public var hasFingerprint: Bool

  public init(
    _ messageClass: Class, method: UInt16 = STUNMessage.binding, _ transaction: STUNTransaction,
    attributes: [STUNAttribute] = [], hasFingerprint: Bool = false
  ) {
    self.messageClass = messageClass
    self.method = method
    self.transaction = transaction
    self.attributes = attributes
    self.hasFingerprint = hasFingerprint
  }

  /// Whether the bytes begin as a STUN message does: type, and the cookie at its place. Looks at 8 bytes.
  public static func hasCookie(_ bytes: Span<UInt8>) -> Bool {
    bytes.count >= headerSize && bytes[0] < 64 && bytes[4] == 0x21 && bytes[5] == 0x12 && bytes[6] == 0xa4
      && bytes[7] == 0x42
  }

  /// Reads a whole datagram. Anything that RFC 8489 doesn't allow throws: a length that isn't the datagram's,
  /// an attribute that ends outside, a FINGERPRINT that is wrong or not the last.
  public init(decoding bytes: [UInt8]) throws(DecodingFailure) {
    guard bytes.count <= Self.sizeLimit else { throw .tooLarge }
    var reader = ByteReader(bytes)
    let type = try reader.uint16()
    guard type < 0x4000 else { throw .badValue }
    let length = Int(try reader.uint16())
    guard try reader.uint32() == Self.cookie else { throw .unknownVersion }
    guard let transaction = STUNTransaction(try reader.slice(STUNTransaction.size)) else { throw .badValue }
    guard length.isMultiple(of: 4) else { throw .badValue }
    guard length <= reader.remaining else { throw .truncated }
    guard length == reader.remaining else { throw .trailingBytes }
    (messageClass, method) = Self.split(type)
    self.transaction = transaction
    attributes = []
    hasFingerprint = false
    var isSealed = false
    while reader.remaining > 0 {
      guard !hasFingerprint else { throw .badValue }
      let start = bytes.count - reader.remaining
      let type = try reader.uint16()
      let size = Int(try reader.uint16())
      let value = try reader.slice(size)
      _ = try reader.slice(-size & 3)
      if type == STUNAttributeType.fingerprint {
        guard size == 4, value.reduce(0, { $0 << 8 | UInt32($1) }) == Self.fingerprint(of: bytes[..<start])
        else { throw .badValue }
        hasFingerprint = true
      } else if !isSealed || type == STUNAttributeType.messageIntegritySHA256 {
        // What comes after MESSAGE-INTEGRITY is under nobody's seal, and is ignored (RFC 8489 §14.5).
        attributes.append(try STUNAttribute(type: type, value: value, transaction: transaction))
        isSealed =
          isSealed || type == STUNAttributeType.messageIntegrity
          || type == STUNAttributeType.messageIntegritySHA256
      }
    }
  }

  /// The datagram. Callers keep it under 548 bytes, which every IPv4 path carries whole (RFC 8489 §6.1).
  public var encoded: [UInt8] {
    var body = ByteWriter(reserving: 128)
    for attribute in attributes {
      let value = attribute.value(in: transaction)
      body.write(attribute.type)
      body.write(UInt16(clamping: value.count))
      body.write(value)
      body.write(zeros: -value.count & 3)
    }
    let length = body.bytes.count + (hasFingerprint ? Self.fingerprintSize : 0)
    var writer = ByteWriter(reserving: Self.headerSize + length)
    writer.write(Self.joined(messageClass, method))
    writer.write(UInt16(clamping: length))
    writer.write(Self.cookie)
    writer.write(transaction.bytes)
    writer.write(body.bytes)
    guard hasFingerprint else { return writer.bytes }
    let fingerprint = Self.fingerprint(of: writer.bytes[...])
    writer.write(STUNAttributeType.fingerprint)
    writer.write(UInt16(4))
    writer.write(fingerprint)
    return writer.bytes
  }

  /// Types that the sender wants understood and that this code doesn't know, in order, each once
  /// (RFC 8489 §6.3.1).
  public var unknownRequiredTypes: [UInt16] {
    var unknown: [UInt16] = []
    for case .raw(let type, _) in attributes
    where type < 0x8000 && !STUNAttributeType.credentials.contains(type) && !unknown.contains(type) {
      unknown.append(type)
    }
    return unknown
  }

  /// Where the server saw the request come from: XOR-MAPPED-ADDRESS, or MAPPED-ADDRESS where a server gives
  /// no other.
  public var mappedEndpoint: Endpoint? {
    for case .xorMappedAddress(let endpoint) in attributes { return endpoint }
    for case .mappedAddress(let endpoint) in attributes { return endpoint }
    return nil
  }

  /// The server's other address and other port (RFC 5780 §7.4).
  public var otherEndpoint: Endpoint? {
    for case .otherAddress(let endpoint) in attributes { return endpoint }
    return nil
  }

  /// Class bits are bits 4 and 8 of the type, between those of the method (RFC 8489 §5, figure 3).
  private static func split(_ type: UInt16) -> (Class, UInt16) {
    let method = type & 0x000f | type >> 1 & 0x0070 | type >> 2 & 0x0f80
    switch (type & 0x0100 != 0, type & 0x0010 != 0) {
    case (false, false): return (.request, method)
    case (false, true): return (.indication, method)
    case (true, false): return (.success, method)
    case (true, true): return (.failure, method)
    }
  }

  private static func joined(_ messageClass: Class, _ method: UInt16) -> UInt16 {
    let bits = UInt16(messageClass.rawValue)
    return method & 0x000f | (method & 0x0070) << 1 | (method & 0x0f80) << 2 | (bits & 1) << 4
      | (bits & 2) << 7
  }

  /// CRC-32 over everything before the attribute, with the length that includes it (RFC 8489 §14.7).
  private static func fingerprint(of bytes: ArraySlice<UInt8>) -> UInt32 {
    CRC32.checksum(of: bytes) ^ fingerprintMask
  }
}

/// The checksum of ITU-T V.42, as in zip and Ethernet.
enum CRC32 {
  private static let table: [UInt32] = (0..<256).map { (index: UInt32) in
    var value = index
    for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0xedb8_8320 : value >> 1 }
    return value
  }

  static func checksum(of bytes: some Sequence<UInt8>) -> UInt32 {
    ~bytes.reduce(UInt32.max) { $0 >> 8 ^ table[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] }
  }
}
