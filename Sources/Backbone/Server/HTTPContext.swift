import Hummingbird
import Logging
import MeshWire
import NIOCore
import NodeHost

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
