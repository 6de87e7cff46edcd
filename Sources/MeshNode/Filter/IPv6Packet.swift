import MeshWire

/// What the packet filter needs to know of an IPv6 packet (RFC 8200), read without a copy.
struct IPv6Packet: Hashable {
  /// Fixed header, in bytes.
  static let headerSize = 40

  enum Transport: Hashable {
    case tcp(sourcePort: UInt16, destinationPort: UInt16)
    case udp(sourcePort: UInt16, destinationPort: UInt16)
    /// RFC 4443 §4: type 128 or 129.
    case echo(isRequest: Bool, identifier: UInt16)
    /// RFC 4443 §3: an error about a packet that we sent, with that packet's own transport.
    case icmpError(about: Invoking?)
    /// Fragments, extension headers and everything else.
    case other(nextHeader: UInt8)
  }

  /// The packet that an ICMPv6 error is about.
  struct Invoking: Hashable {
    let source: UInt128
    let destination: UInt128
    let flow: FlowKey?
  }

  let source: UInt128
  let destination: UInt128
  let transport: Transport

  /// Reads a whole packet. `nil` when it isn't IPv6, is cut short, or its length field disagrees with its
  /// size.
  init?(_ packet: Span<UInt8>) {
    guard packet.count >= Self.headerSize, packet[0] >> 4 == 6,
      Int(Self.uint16(packet, at: 4)) == packet.count - Self.headerSize
    else { return nil }
    source = Self.address(packet, at: 8)
    destination = Self.address(packet, at: 24)
    transport = Self.transport(packet, nextHeader: packet[6], at: Self.headerSize, remote: source)
  }

  private static func transport(
    _ packet: Span<UInt8>, nextHeader: UInt8, at start: Int, remote: UInt128
  ) -> Transport {
    let left = packet.count - start
    switch nextHeader {
    case 6 where left >= 20:
      return .tcp(sourcePort: uint16(packet, at: start), destinationPort: uint16(packet, at: start + 2))
    case 17 where left >= 8:
      return .udp(sourcePort: uint16(packet, at: start), destinationPort: uint16(packet, at: start + 2))
    case 58 where left >= 8:
      switch packet[start] {
      case 128, 129:
        return .echo(isRequest: packet[start] == 128, identifier: uint16(packet, at: start + 4))
      case 1...4: return .icmpError(about: invoking(packet, at: start + 8))
      default: return .other(nextHeader: 58)
      }
    default: return .other(nextHeader: nextHeader)
    }
  }

  /// The embedded packet may be cut short, but must hold its ports.
  private static func invoking(_ packet: Span<UInt8>, at start: Int) -> Invoking? {
    let ports = start + headerSize
    guard packet.count >= ports + 8, packet[start] >> 4 == 6 else { return nil }
    let source = address(packet, at: start + 8)
    let destination = address(packet, at: start + 24)
    let flow: FlowKey? =
      switch packet[start + 6] {
      case 6, 17:
        FlowKey(
          remote: destination, protocolNumber: packet[start + 6], localPort: uint16(packet, at: ports),
          remotePort: uint16(packet, at: ports + 2))
      case 58 where packet[ports] == 128:
        FlowKey(
          remote: destination, protocolNumber: 58, localPort: uint16(packet, at: ports + 4), remotePort: 0)
      default: nil
      }
    return Invoking(source: source, destination: destination, flow: flow)
  }

  private static func uint16(_ bytes: Span<UInt8>, at index: Int) -> UInt16 {
    UInt16(bytes[index]) << 8 | UInt16(bytes[index + 1])
  }

  private static func address(_ bytes: Span<UInt8>, at index: Int) -> UInt128 {
    var value: UInt128 = 0
    for offset in 0..<16 { value = value << 8 | UInt128(bytes[index + offset]) }
    return value
  }
}
