import Backbone
import Foundation

/// Why no connections can be taken, and what to do about it.
struct ListenFailure: Error, CustomStringConvertible {
  let listeners: [BackboneService.Listener]
  /// The system's error number.
  let code: Int32

  var description: String {
    let addresses = listeners.map { "\($0.host) port \($0.port)" }.joined(separator: " or ")
    let reason = unsafe String(cString: strerror(code))
    let advice =
      switch code {
      case EADDRINUSE: ": stop the program that listens there, or choose another port"
      case EADDRNOTAVAIL: ": choose an address of this machine"
      case EACCES, EPERM: ": choose a port from 1024 up, or grant CAP_NET_BIND_SERVICE"
      default: ""
      }
    return "cannot listen on \(addresses): \(reason)\(advice)"
  }
}
