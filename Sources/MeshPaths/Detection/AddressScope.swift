public import MeshWire

extension IPAddress {
  /// For use inside a site only: 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16 (RFC 1918), or fc00::/7 (RFC
  /// 4193).
  public var isPrivate: Bool {
    switch self {
    case .v4(let value): value >> 24 == 10 || value >> 20 == 0xac1 || value >> 16 == 0xc0a8
    case .v6(let value): value >> 121 == 0x7e
    }
  }

  /// 100.64.0.0/10 (RFC 6598): between a provider's NAT and its customers.
  public var isShared: Bool {
    switch self {
    case .v4(let value): value >> 22 == 0x191
    case .v6: false
    }
  }

  var isV4: Bool {
    switch self {
    case .v4: true
    case .v6: false
    }
  }
}
