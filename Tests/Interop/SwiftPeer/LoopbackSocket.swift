import Glibc
import MeshWire

/// A UDP socket on 127.0.0.1, at a port that the system chooses.
struct LoopbackSocket {
  let descriptor: Int32
  let port: UInt16

  struct Failure: Error {
    let call: String
    let errno: Int32
  }

  init() throws(Failure) {
    let opened = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
    guard opened >= 0 else { throw Failure(call: "socket", errno: errno) }
    var address = Self.socketAddress(IPAddress.v4(0x7f00_0001), port: 0)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
        bind(opened, generic, length) == 0 && getsockname(opened, generic, &length) == 0
      }
    }
    guard bound else { throw Failure(call: "bind", errno: errno) }
    descriptor = opened
    port = UInt16(bigEndian: address.sin_port)
  }

  /// Sends one datagram; a full buffer loses it, as a network may.
  func send(_ datagram: [UInt8], to endpoint: Endpoint) {
    var address = Self.socketAddress(endpoint.address, port: endpoint.port)
    withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
        _ = sendto(
          descriptor, datagram, datagram.count, 0, generic, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
  }

  /// The next datagram that waits; `nil` when none does.
  func receive() -> (datagram: [UInt8], source: Endpoint)? {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    var address = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let count = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
        recvfrom(descriptor, &buffer, buffer.count, 0, generic, &length)
      }
    }
    guard count >= 0 else { return nil }
    let source = IPAddress.v4(UInt32(bigEndian: address.sin_addr.s_addr))
    return (Array(buffer[..<count]), Endpoint(source, port: UInt16(bigEndian: address.sin_port)))
  }

  private static func socketAddress(_ address: IPAddress, port: UInt16) -> sockaddr_in {
    var result = sockaddr_in()
    result.sin_family = sa_family_t(AF_INET)
    result.sin_port = port.bigEndian
    if case .v4(let value) = address { result.sin_addr.s_addr = value.bigEndian }
    return result
  }
}
