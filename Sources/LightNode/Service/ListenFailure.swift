import Daemon
import Glibc
import MeshWire
import NIOCore

/// Why an address of the configuration could not be listened on: the key, the port, the address, the reason.
struct ListenFailure: Error, CustomStringConvertible {
  let description: String
  /// What a person can do about it.
  let next: String

  init(key: String, address: Endpoint, _ error: any Error) {
    let port = "TCP port \(address.port)"
    switch (error as? IOError)?.errnoCode {
    case EADDRINUSE?:
      description = "\(key): \(port) of \(address.address) is in use by another program"
      next = "stop that program, or give \(key) another port"
    case EADDRNOTAVAIL?:
      description = "\(key): \(address.address) is not an address of this machine"
      next = "give \(key) one of its addresses, like 127.0.0.1:\(address.port)"
    case EACCES?, EPERM?:
      description = "\(key): \(port) is not open to this user"
      next = "give \(key) a port from 1024 up"
    default:
      description = "\(key): \(address) cannot be listened on: \(Self.reason(error))"
      next = "give \(key) another address"
    }
  }

  /// The system's own words for an error of a socket.
  static func reason(_ error: any Error) -> String {
    (error as? IOError).map { SystemError(code: $0.errnoCode).description } ?? "\(error)"
  }
}
