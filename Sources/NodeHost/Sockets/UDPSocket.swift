import CLinux
public import Daemon
import Glibc
public import MeshWire

/// One non-blocking dual-stack UDP socket: IPv6, and IPv4 as mapped addresses. It never fragments
/// (IP_PMTUDISC_DO on both families), so that a datagram too large for the path fails where it can be
/// counted.
public struct UDPSocket: Sendable {
  /// What is asked of the kernel for each direction, in bytes.
  public static let bufferSize: Int32 = 4 << 20

  let descriptor: Descriptor

  /// Where the socket is bound; the port is the real one when 0 was asked for.
  public let local: Endpoint

  /// Binds to a port (0: any free one) on one address, or on every address of both families.
  public init(port: UInt16, address: IPAddress = .v6(0)) throws(UDPSocketError) {
    let wanted = Endpoint(address, port: port)
    var raw = clinux_endpoint(wanted)
    do {
      let number = try unsafe SystemError.check(clinux_udp_open(&raw, Self.bufferSize))
      descriptor = Descriptor(number)
      try unsafe SystemError.check(clinux_udp_local(number, &raw))
      local = raw.endpoint
    } catch {
      throw UDPSocketError(endpoint: wanted, cause: error)
    }
  }

  /// Closes the socket. Only who drives it may call this, when nothing uses it any more.
  public func close() { descriptor.close() }
}

/// Why a UDP socket could not be opened, and what to do about it.
public struct UDPSocketError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Where it should have been bound.
  public let endpoint: Endpoint
  public let cause: SystemError

  /// One line for a person: the port, the reason, the next step.
  public var description: String {
    let isEveryAddress = endpoint.address == .v6(0)
    let port = "UDP port \(endpoint.port)" + (isEveryAddress ? "" : " of \(endpoint.address)")
    switch cause.code {
    case EADDRINUSE:
      return "\(port) is in use by another program: stop that program, or give listen_port another"
    case EACCES, EPERM:
      return "\(port) is not open to this user: use a port from 1024 up, or grant CAP_NET_BIND_SERVICE"
    case EADDRNOTAVAIL:
      return "\(endpoint.address) is not an address of this machine: \(port) cannot be bound to it"
    case EAFNOSUPPORT:
      return "\(port) was not opened: this kernel has IPv6 switched off, and the overlay needs it"
    default:
      return "\(port) cannot be opened: \(cause)"
    }
  }
}
