import MeshWire

/// Port Control Protocol, version 2 (RFC 6887): the MAP and ANNOUNCE opcodes as a client needs them.
enum PCP {
  static let version: UInt8 = 2
  /// The server's port, of UDP (§19.1).
  static let serverPort: UInt16 = 5_351
  /// Header and MAP without options (§7.1, §11.1), in bytes.
  static let mapSize = 60
  static let headerSize = 24
  /// §7: no message is longer, and each is a multiple of 4 bytes.
  static let longestMessage = 1_100

  enum Opcode: UInt8 {
    case announce = 0
    case map = 1
  }

  /// IANA's number of UDP, as MAP has it.
  static let udp: UInt8 = 17

  /// What a MAP request asks for.
  struct MapRequest: Hashable {
    var client: IPAddress
    var nonce: MappingNonce
    var internalPort: UInt16
    /// 0 where the router shall choose.
    var suggestedPort: UInt16
    /// `nil` where the router shall choose.
    var suggestedAddress: IPAddress?
    /// Seconds; 0 removes the mapping (§15).
    var lifetime: UInt32

    var encoded: [UInt8] {
      var writer = ByteWriter(reserving: PCP.mapSize)
      writer.header(.map, lifetime: lifetime, client: client)
      writer.write(nonce.bytes)
      writer.write(PCP.udp)
      writer.write(zeros: 3)
      writer.write(internalPort)
      writer.write(suggestedPort)
      // §11.1: no suggestion is all zeros in the client's own family; IPv4 goes as ::ffff:0:0.
      writer.writeMapped(suggestedAddress ?? .v4(0))
      return writer.bytes
    }
  }

  /// An ANNOUNCE request: asks for nothing but the epoch (§14.1).
  static func announcement(from client: IPAddress) -> [UInt8] {
    var writer = ByteWriter(reserving: headerSize)
    writer.header(.announce, lifetime: 0, client: client)
    return writer.bytes
  }

  /// A response to either (§7.2).
  struct Response: Hashable {
    var result: PCPResult
    /// Of the mapping, or of the error (§7.4), in seconds.
    var lifetime: UInt32
    var epoch: UInt32
    /// `nil` for ANNOUNCE.
    var map: MapAnswer?
  }

  struct MapAnswer: Hashable {
    var nonce: MappingNonce
    var `protocol`: UInt8
    var internalPort: UInt16
    var external: Endpoint
  }

  /// Reads a response. Throws for what is no PCP version 2, is not a response, or has the wrong size; options
  /// are not looked at, for none was sent.
  static func response(_ bytes: ArraySlice<UInt8>) throws(DecodingFailure) -> Response {
    guard bytes.count <= longestMessage, bytes.count.isMultiple(of: 4) else { throw .tooLarge }
    var reader = ByteReader(bytes)
    guard try reader.uint8() == version else { throw .unknownVersion }
    let code = try reader.uint8()
    guard code & 0x80 != 0, let opcode = Opcode(rawValue: code & 0x7f) else { throw .badValue }
    _ = try reader.uint8()
    var response = Response(
      result: PCPResult(code: Int(try reader.uint8())), lifetime: try reader.uint32(),
      epoch: try reader.uint32())
    _ = try reader.slice(12)
    guard opcode == .map else { return response }
    guard let nonce = MappingNonce(try reader.bytes(MappingNonce.size)) else { throw .badValue }
    let number = try reader.uint8()
    _ = try reader.slice(3)
    let internalPort = try reader.uint16()
    let externalPort = try reader.uint16()
    let address = try reader.mappedAddress()
    response.map = MapAnswer(
      nonce: nonce, protocol: number, internalPort: internalPort,
      external: Endpoint(address, port: externalPort))
    return response
  }

  /// Whether a server of another version answers a request of ours: PCP of a version beside ours (RFC 6887
  /// §9), or NAT-PMP, version 0 (RFC 6886 §3.5).
  static func refusesVersion(_ bytes: ArraySlice<UInt8>) -> Bool {
    let head = Array(bytes.prefix(4))
    guard head.count == 4, head[0] != version else { return false }
    if head[0] == 0 { return head[1] & 0x80 != 0 && head[2] == 0 && head[3] == 1 && bytes.count >= 8 }
    return head[1] & 0x80 != 0 && head[3] == 1 && bytes.count >= headerSize
  }
}

/// RFC 6887 §7.4.
struct PCPResult: Hashable {
  static let success = PCPResult(code: 0)
  static let unsupportedVersion = PCPResult(code: 1)
  static let unsupportedOpcode = PCPResult(code: 4)
  static let networkFailure = PCPResult(code: 7)

  let code: Int

  private static let meanings = [
    "success", "version not supported", "not authorized", "request malformed", "opcode not supported",
    "option not supported", "option malformed", "the router has no network", "no resources",
    "protocol not supported", "quota exceeded", "external address or port not available",
    "another NAT is between this machine and the router", "too many peers",
  ]

  var meaning: String { Self.meanings.indices.contains(code) ? Self.meanings[code] : "unknown result" }
}

/// Ties answers to this node's requests, and makes the mapping its own (RFC 6887 §11.2): 12 bytes that others
/// can't guess, the same for as long as the mapping is to be recognised.
public struct MappingNonce: Hashable, Sendable {
  /// In bytes.
  public static let size = 12

  /// The 12 bytes.
  public let bytes: [UInt8]

  /// `nil` for any other length.
  public init?(_ bytes: some Collection<UInt8>) {
    guard bytes.count == Self.size else { return nil }
    self.bytes = Array(bytes)
  }

  /// A number that is as good as random, another one for each index: for jitter, and for ports to try.
  func draw(_ index: Int) -> UInt16 {
    let at = index % (Self.size - 1)
    return UInt16(bytes[at]) << 8 | UInt16(bytes[at + 1])
  }
}

extension ByteWriter {
  fileprivate mutating func header(_ opcode: PCP.Opcode, lifetime: UInt32, client: IPAddress) {
    write(PCP.version)
    write(opcode.rawValue)
    write(zeros: 2)
    write(lifetime)
    writeMapped(client)
  }

  /// 16 bytes, IPv4 as ::ffff:a.b.c.d (RFC 6887 §5).
  fileprivate mutating func writeMapped(_ address: IPAddress) {
    switch address {
    case .v4:
      write(zeros: 10)
      write(UInt16(0xffff))
      write(address.bytes)
    case .v6: write(address.bytes)
    }
  }
}

extension ByteReader {
  fileprivate mutating func mappedAddress() throws(DecodingFailure) -> IPAddress {
    let bytes = try bytes(16)
    guard let address = IPAddress(bytes) else { throw .badValue }
    guard address.isMappedIPv4, let inner = IPAddress(bytes[12...]) else { return address }
    return inner
  }
}
