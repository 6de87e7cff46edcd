import Glibc
import NodeHost

extension ServiceNotification {
  /// Says that the configuration is being read again; `ready` ends it.
  static func tellReloading() throws {
    _ = try send(status: "reading the configuration again")
  }
}
