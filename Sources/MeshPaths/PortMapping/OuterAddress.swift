import MeshWire

/// What a router may name as its outer address.
enum OuterAddress {
  /// Whether others can send there from the internet, as far as the address itself tells. What isn't: this
  /// network, private (RFC 1918), shared for CGNAT (RFC 6598), loopback, link-local, IETF protocol
  /// assignments (RFC 6890; DS-Lite among them), multicast and above, IPv6. What documentation and benchmarks
  /// use is let pass: nobody's router has it, and laboratories do.
  static func isPublic(_ address: IPAddress) -> Bool {
    guard case .v4(let value) = address else { return false }
    return !refused.contains { value >> (32 - $0.length) == $0.prefix >> (32 - $0.length) }
  }

  /// RFC 1918, RFC 6598 and RFC 3927: an address that needs a NAT to reach the internet.
  static func isBehindNAT(_ address: IPAddress) -> Bool {
    guard case .v4(let value) = address else { return false }
    return inner.contains { value >> (32 - $0.length) == $0.prefix >> (32 - $0.length) }
  }

  private typealias Network = (prefix: UInt32, length: UInt32)

  private static let inner: [Network] = [
    (0x0a00_0000, 8), (0xac10_0000, 12), (0xc0a8_0000, 16), (0x6440_0000, 10), (0xa9fe_0000, 16),
  ]

  private static let refused: [Network] =
    inner + [(0x0000_0000, 8), (0x7f00_0000, 8), (0xc000_0000, 24), (0xe000_0000, 3)]
}
