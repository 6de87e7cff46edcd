import MeshWire

/// What the host is told of a packet that no session can carry (RFC 4443 §3.2), so that it sends smaller ones
/// instead of losing them without a word.
enum PacketTooBig {
  /// The answer holds as much of the packet as fits IPv6's smallest MTU.
  static let sizeLimit = 1_280
  private static let headerSize = 8

  /// An ICMPv6 Packet Too Big from the packet's destination to its source, with `mtu` in bytes. `nil` for
  /// what may not be answered: no whole IPv6 header, and errors (RFC 4443 §2.4 e).
  static func answer(to packet: Span<UInt8>, mtu: Int) -> [UInt8]? {
    guard let header = IPv6Packet(packet) else { return nil }
    if case .icmpError = header.transport { return nil }
    let kept = min(packet.count, sizeLimit - IPv6Packet.headerSize - headerSize)
    let length = headerSize + kept
    var answer: [UInt8] = []
    answer.reserveCapacity(IPv6Packet.headerSize + length)
    answer += [0x60, 0, 0, 0, UInt8(length >> 8), UInt8(length & 0xff), 58, 64]
    append(packet, 24..<40, to: &answer)
    append(packet, 8..<24, to: &answer)
    answer += [2, 0, 0, 0]
    answer.append(bigEndian: UInt32(mtu))
    append(packet, 0..<kept, to: &answer)
    let sum = checksum(answer, length: length)
    answer[IPv6Packet.headerSize + 2] = UInt8(sum >> 8)
    answer[IPv6Packet.headerSize + 3] = UInt8(sum & 0xff)
    return answer
  }

  private static func append(_ bytes: Span<UInt8>, _ range: Range<Int>, to answer: inout [UInt8]) {
    for index in range { answer.append(bytes[index]) }
  }

  /// RFC 4443 §2.3: over a pseudo-header (RFC 8200 §8.1) and the message, whose checksum field is zero.
  private static func checksum(_ packet: [UInt8], length: Int) -> UInt16 {
    var sum = UInt32(length) + 58
    for (index, byte) in packet.dropFirst(8).enumerated() {
      sum += UInt32(byte) << (index.isMultiple(of: 2) ? 8 : 0)
    }
    while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
    return ~UInt16(sum)
  }
}
