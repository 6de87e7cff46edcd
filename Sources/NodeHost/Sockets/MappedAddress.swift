import CLinux
import MeshWire

extension clinux_endpoint {
  /// A dual-stack socket speaks IPv6 only: IPv4 addresses become ::ffff:a.b.c.d (RFC 4291 §2.5.5.2).
  init(_ endpoint: Endpoint) {
    switch endpoint.address {
    case .v4(let value):
      self.init(high: 0, low: 0xffff_0000_0000 | UInt64(value), port: endpoint.port)
    case .v6(let value):
      self.init(
        high: UInt64(truncatingIfNeeded: value >> 64), low: UInt64(truncatingIfNeeded: value),
        port: endpoint.port)
    }
  }

  /// The endpoint as the rest of the program sees it: a mapped address is an IPv4 address.
  var endpoint: Endpoint {
    if high == 0, low >> 32 == 0xffff {
      return Endpoint(.v4(UInt32(truncatingIfNeeded: low)), port: port)
    }
    return Endpoint(.v6(UInt128(high) << 64 | UInt128(low)), port: port)
  }
}
