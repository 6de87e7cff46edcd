/// Where datagrams go: an address and a UDP port.
public struct Endpoint: Hashable, Sendable {
  /// Size on the wire: family 1 (4 or 6), address 16 (IPv4 in the first 4, the rest zero), port 2.
  public static let size = 19

  public let address: IPAddress
  public let port: UInt16

  public init(_ address: IPAddress, port: UInt16) {
    self.address = address
    self.port = port
  }

  /// Parses `192.0.2.1:8443` or `[2001:db8::1]:8443`; `nil` for anything else.
  public init?(_ text: some StringProtocol) {
    guard let colon = text.lastIndex(of: ":") else { return nil }
    let digits = text[text.index(after: colon)...]
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (48...57).contains($0) }), let port = UInt16(digits)
    else { return nil }
    var host = text[..<colon]
    let bracketed = host.first == "[" && host.last == "]"
    if bracketed { host = host.dropFirst().dropLast() }
    guard host.contains(":") == bracketed, let address = IPAddress(host) else { return nil }
    self.init(address, port: port)
  }

  /// Whether a stranger may name this address and have us send to it (protocol.md §6): never to loopback,
  /// multicast, link-local, unspecified, overlay or ``Carrier`` addresses, nor to port 0. An IPv4 address in
  /// IPv6 clothes (::ffff:127.0.0.1) would get past all of these on a dual-stack socket, and is refused too.
  public var isDialable: Bool {
    port != 0 && !address.isLoopback && !address.isMulticast && !address.isLinkLocal
      && !address.isUnspecified && !address.isOverlay && !address.isMappedIPv4 && !address.isCarrier
  }
}

extension Endpoint: CustomStringConvertible {
  /// `192.0.2.1:8443` or `[2001:db8::1]:8443`.
  public var description: String {
    switch address {
    case .v4: "\(address):\(port)"
    case .v6: "[\(address)]:\(port)"
    }
  }
}

extension ByteWriter {
  /// Appends the 19 bytes of ``Endpoint/size``.
  public mutating func write(_ endpoint: Endpoint) {
    let address = endpoint.address.bytes
    write(UInt8(address.count == 4 ? 4 : 6))
    write(address)
    write(zeros: 16 - address.count)
    write(endpoint.port)
  }
}

extension ByteReader {
  /// Reads the 19 bytes of ``Endpoint/size``. An unknown family, or an IPv4 address whose padding is not
  /// zero, throws.
  public mutating func endpoint() throws(DecodingFailure) -> Endpoint {
    let family = try uint8()
    let field = try bytes(16)
    let port = try uint16()
    switch family {
    case 4:
      guard field[4...].allSatisfy({ $0 == 0 }) else { throw .badValue }
      guard let address = IPAddress(field[..<4]) else { throw .badValue }
      return Endpoint(address, port: port)
    case 6:
      guard let address = IPAddress(field) else { throw .badValue }
      return Endpoint(address, port: port)
    default: throw .badValue
    }
  }
}
