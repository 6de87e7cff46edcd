public import MeshWire

extension IPAddress {
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
