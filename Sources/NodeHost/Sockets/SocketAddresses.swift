package import MeshWire
package import NIOCore

extension IPAddress {
  /// The address of a socket's other end; `nil` when that isn't IP.
  package init?(_ socketAddress: SocketAddress) {
    // Behind family and port, and for IPv6 the flow (RFC 3493 §3.3); 4 and 16 bytes in network order.
    let address: IPAddress? =
      switch socketAddress {
      case .v4(let socket): unsafe withUnsafeBytes(of: socket.address) { unsafe IPAddress($0[4..<8]) }
      case .v6(let socket): unsafe withUnsafeBytes(of: socket.address) { unsafe IPAddress($0[8..<24]) }
      case .unixDomainSocket: nil
      }
    guard let address else { return nil }
    // A socket that listens on :: shows IPv4 peers in mapped form (RFC 4291 §2.5.5.2).
    if case .v6(let value) = address, value >> 32 == 0xffff {
      self = .v4(UInt32(truncatingIfNeeded: value))
    } else {
      self = address
    }
  }
}
