import Hummingbird
import Logging
import MeshWire
import NIOCore

/// What a request brings along besides itself.
struct HTTPContext: InitializableFromSource {
  let logger: Logger
  private let channel: any Channel

  init(source: ApplicationRequestContextSource) {
    logger = source.logger
    channel = source.channel
  }

  /// Where it came from; `nil` when it didn't come over IP.
  var address: IPAddress? { channel.remoteAddress.flatMap { IPAddress($0) } }
}

extension IPAddress {
  /// The address of a socket's other end; `nil` when that isn't IP.
  init?(_ socketAddress: SocketAddress) {
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

extension IPAddress {
  /// What records are counted by where anybody may publish: a /24 of IPv4, or a /48 of IPv6, which is what a
  /// site gets and a free tunnel offers. `nil` for loopback: what comes from there may be a proxy that speaks
  /// for many.
  var recordNetwork: IPAddress? {
    guard !isLoopback else { return nil }
    return switch self {
    case .v4: limitPrefix
    case .v6(let value): .v6((value >> 80) << 80)
    }
  }
}
