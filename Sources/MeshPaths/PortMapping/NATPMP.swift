import MeshWire

/// NAT Port Mapping Protocol (RFC 6886), for UDP.
enum NATPMP {
  /// PCP took over its port (RFC 6887 §19.1).
  static let serverPort = PCP.serverPort

  /// §3.2: two bytes.
  static let addressRequest: [UInt8] = [0, Opcode.address.rawValue]

  enum Opcode: UInt8 {
    case address = 0
    case mapUDP = 1
  }

  /// §3.3. A lifetime of 0 with an external port of 0 removes (§3.4).
  static func mapRequest(internalPort: UInt16, externalPort: UInt16, lifetime: UInt32) -> [UInt8] {
    var writer = ByteWriter(reserving: 12)
    writer.write(UInt8(0))
    writer.write(Opcode.mapUDP.rawValue)
    writer.write(zeros: 2)
    writer.write(internalPort)
    writer.write(externalPort)
    writer.write(lifetime)
    return writer.bytes
  }

  enum Response: Hashable {
    /// The router's outer address.
    case address(NATPMPResult, epoch: UInt32, IPAddress)
    case map(NATPMPResult, epoch: UInt32, internalPort: UInt16, externalPort: UInt16, lifetime: UInt32)
  }

  /// Reads a response of exactly its size. A refusal may end after the epoch (§3.5).
  static func response(_ bytes: ArraySlice<UInt8>) throws(DecodingFailure) -> Response {
    var reader = ByteReader(bytes)
    guard try reader.uint8() == 0 else { throw .unknownVersion }
    let code = try reader.uint8()
    guard code & 0x80 != 0, let opcode = Opcode(rawValue: code & 0x7f) else { throw .badValue }
    let result = NATPMPResult(code: Int(try reader.uint16()))
    let epoch = try reader.uint32()
    let isShort = result != .success && reader.remaining == 0
    let response: Response
    switch opcode {
    case .address:
      response = .address(result, epoch: epoch, .v4(isShort ? 0 : try reader.uint32()))
    case .mapUDP:
      response = .map(
        result, epoch: epoch, internalPort: isShort ? 0 : try reader.uint16(),
        externalPort: isShort ? 0 : try reader.uint16(), lifetime: isShort ? 0 : try reader.uint32())
    }
    try reader.end()
    return response
  }
}

/// RFC 6886 §3.5.
struct NATPMPResult: Hashable {
  static let success = NATPMPResult(code: 0)
  static let unsupportedVersion = NATPMPResult(code: 1)
  static let networkFailure = NATPMPResult(code: 3)

  let code: Int

  private static let meanings = [
    "success", "version not supported", "not authorized, or switched off", "the router has no network",
    "no resources", "opcode not supported",
  ]

  var meaning: String { Self.meanings.indices.contains(code) ? Self.meanings[code] : "unknown result" }
}
