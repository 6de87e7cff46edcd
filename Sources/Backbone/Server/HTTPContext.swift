import Hummingbird
import MeshWire
import NIOCore

/// What a request brings along besides itself: where it came from.
struct HTTPContext: RequestContext {
  var coreContext: CoreRequestContextStorage
  /// `nil` when it didn't come over IP.
  let address: IPAddress?

  init(source: ApplicationRequestContextSource) {
    coreContext = CoreRequestContextStorage(source: source)
    address = source.channel.remoteAddress?.ipAddress.flatMap { text in
      // A socket that listens on :: shows IPv4 peers in mapped form.
      IPAddress(text.hasPrefix("::ffff:") && text.contains(".") ? String(text.dropFirst(7)) : text)
    }
  }
}
