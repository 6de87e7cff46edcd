public import MeshWire

/// The types that this code knows (RFC 8489 §18.3, RFC 5780 §9.1). Those under 0x8000 must be understood by
/// who gets them.
public enum STUNAttributeType {
  public static let mappedAddress: UInt16 = 0x0001
  public static let changeRequest: UInt16 = 0x0003
  public static let username: UInt16 = 0x0006
  public static let messageIntegrity: UInt16 = 0x0008
  public static let errorCode: UInt16 = 0x0009
  public static let unknownAttributes: UInt16 = 0x000a
  public static let realm: UInt16 = 0x0014
  public static let nonce: UInt16 = 0x0015
  public static let messageIntegritySHA256: UInt16 = 0x001c
  public static let passwordAlgorithm: UInt16 = 0x001d
  public static let userhash: UInt16 = 0x001e
  public static let xorMappedAddress: UInt16 = 0x0020
  public static let software: UInt16 = 0x8022
  public static let fingerprint: UInt16 = 0x8028
  public static let responseOrigin: UInt16 = 0x802b
  public static let otherAddress: UInt16 = 0x802c

  /// Attributes of credentials: understood, and of no meaning here, because nothing here asks for any.
  static let credentials: Set<UInt16> = [
    username, messageIntegrity, realm, nonce, messageIntegritySHA256, passwordAlgorithm, userhash,
  ]
}

/// One attribute of a STUN message. FINGERPRINT is not among them: encoding makes it and decoding checks it.
public enum STUNAttribute: Sendable, Hashable {
  case mappedAddress(Endpoint)
  case xorMappedAddress(Endpoint)
  case otherAddress(Endpoint)
  case responseOrigin(Endpoint)
  /// Asks for the answer from the server's other address, other port, or both (RFC 5780 §7.2).
  case changeRequest(address: Bool, port: Bool)
  /// At most 763 bytes (RFC 8489 §14.14).
  case software(String)
  /// 300 to 699, and why, at most 763 bytes.
  case errorCode(Int, reason: String)
  case unknownAttributes([UInt16])
  /// Any other type, or one whose meaning is left alone. At most 763 bytes from ourselves.
  case raw(type: UInt16, value: [UInt8])

  /// As on the wire.
  public var type: UInt16 {
    switch self {
    case .mappedAddress: STUNAttributeType.mappedAddress
    case .xorMappedAddress: STUNAttributeType.xorMappedAddress
    case .otherAddress: STUNAttributeType.otherAddress
    case .responseOrigin: STUNAttributeType.responseOrigin
    case .changeRequest: STUNAttributeType.changeRequest
    case .software: STUNAttributeType.software
    case .errorCode: STUNAttributeType.errorCode
    case .unknownAttributes: STUNAttributeType.unknownAttributes
    case .raw(let type, _): type
    }
  }

  /// Longest text, in bytes.
  static let textLimit = 763

  init(type: UInt16, value: ArraySlice<UInt8>, transaction: STUNTransaction) throws(DecodingFailure) {
    var reader = ByteReader(value)
    switch type {
    case STUNAttributeType.mappedAddress: self = .mappedAddress(try reader.stunEndpoint())
    case STUNAttributeType.otherAddress: self = .otherAddress(try reader.stunEndpoint())
    case STUNAttributeType.responseOrigin: self = .responseOrigin(try reader.stunEndpoint())
    case STUNAttributeType.xorMappedAddress:
      self = .xorMappedAddress(try reader.stunEndpoint().xored(with: transaction))
    case STUNAttributeType.changeRequest:
      let flags = try reader.uint32()
      self = .changeRequest(address: flags & 4 != 0, port: flags & 2 != 0)
    case STUNAttributeType.software:
      guard value.count <= Self.textLimit else { throw .tooLarge }
      self = .software(String(decoding: try reader.slice(reader.remaining), as: UTF8.self))
    case STUNAttributeType.errorCode:
      _ = try reader.uint16()
      let (hundreds, rest) = (Int(try reader.uint8() & 7), Int(try reader.uint8()))
      guard (3...6).contains(hundreds), rest < 100 else { throw .badValue }
      guard reader.remaining <= Self.textLimit else { throw .tooLarge }
      let reason = String(decoding: try reader.slice(reader.remaining), as: UTF8.self)
      self = .errorCode(100 * hundreds + rest, reason: reason)
    case STUNAttributeType.unknownAttributes:
      guard value.count.isMultiple(of: 2) else { throw .badValue }
      var types: [UInt16] = []
      while reader.remaining > 0 { types.append(try reader.uint16()) }
      self = .unknownAttributes(types)
    default: self = .raw(type: type, value: try reader.bytes(reader.remaining))
    }
    try reader.end()
  }

  func value(in transaction: STUNTransaction) -> [UInt8] {
    var writer = ByteWriter()
    switch self {
    case .mappedAddress(let endpoint), .otherAddress(let endpoint), .responseOrigin(let endpoint):
      writer.write(stun: endpoint)
    case .xorMappedAddress(let endpoint): writer.write(stun: endpoint.xored(with: transaction))
    case .changeRequest(let address, let port):
      writer.write(UInt32(address ? 4 : 0) | UInt32(port ? 2 : 0))
    case .software(let text): writer.write(text.utf8.prefix(Self.textLimit))
    case .errorCode(let code, let reason):
      writer.write(zeros: 2)
      writer.write(UInt8(clamping: code / 100))
      writer.write(UInt8(clamping: code % 100))
      writer.write(reason.utf8.prefix(Self.textLimit))
    case .unknownAttributes(let types): for type in types { writer.write(type) }
    case .raw(_, let value): writer.write(value.prefix(Self.textLimit))
    }
    return writer.bytes
  }
}

extension Endpoint {
  /// XOR with the cookie and the transaction (RFC 8489 §14.2), so that a NAT which rewrites whatever looks
  /// like an address leaves it alone. Its own inverse.
  func xored(with transaction: STUNTransaction) -> Endpoint {
    let port = port ^ UInt16(STUNMessage.cookie >> 16)
    switch address {
    case .v4(let value): return Endpoint(.v4(value ^ STUNMessage.cookie), port: port)
    case .v6(let value):
      let mask =
        UInt128(STUNMessage.cookie) << 96 | UInt128(transaction.high) << 64 | UInt128(transaction.low)
      return Endpoint(.v6(value ^ mask), port: port)
    }
  }
}

extension ByteReader {
  /// RFC 8489 §14.1: zero 1, family 1 (1 or 2), port 2, address 4 or 16.
  fileprivate mutating func stunEndpoint() throws(DecodingFailure) -> Endpoint {
    _ = try uint8()
    let family = try uint8()
    let port = try uint16()
    guard family == 1 || family == 2 else { throw .badValue }
    guard let address = IPAddress(try slice(family == 1 ? 4 : 16)) else { throw .badValue }
    return Endpoint(address, port: port)
  }
}

extension ByteWriter {
  fileprivate mutating func write(stun endpoint: Endpoint) {
    let address = endpoint.address.bytes
    write(UInt8(0))
    write(UInt8(address.count == 4 ? 1 : 2))
    write(endpoint.port)
    write(address)
  }
}
