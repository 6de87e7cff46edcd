import Daemon
import Glibc
import Logging
import MeshWire
import NodeHost

/// Opens the node's one UDP socket, on the port that its owner chose or on one that is drawn for it.
struct ListenSocket {
  /// Ports that are drawn at most before the start is given up.
  static let tries = 8

  let folder: StateFolder
  let logger: Logger
  /// A port of ``ListenPort/randomRange``.
  var draw: () -> UInt16 = { UInt16.random(in: ListenPort.randomRange) }

  /// The socket. With `auto` a drawn port that is free is saved, and used again at the next start: peers keep
  /// the endpoint that they know. One that another program has by then is drawn anew.
  func open(_ wanted: ListenPort) throws(UDPSocketError) -> UDPSocket {
    switch wanted {
    case .fixed(let port): return try UDPSocket(port: port)
    case .auto: break
    }
    let saved = savedPort
    var port = saved ?? draw()
    for _ in 1..<Self.tries {
      do {
        return try open(port, saved: saved)
      } catch let refusal where refusal.cause.code == EADDRINUSE {
        port = draw()
      }
    }
    return try open(port, saved: saved)
  }

  private func open(_ port: UInt16, saved: UInt16?) throws(UDPSocketError) -> UDPSocket {
    let socket = try UDPSocket(port: port)
    if port != saved { save(port) }
    return socket
  }

  private var savedPort: UInt16? {
    do { return try folder.readListenPort() } catch {
      logger.warning("the saved listen port was not read: another is drawn", metadata: ["reason": "\(error)"])
      return nil
    }
  }

  private func save(_ port: UInt16) {
    do { try folder.writeListenPort(port) } catch {
      logger.warning(
        "the listen port was not saved: the next start draws another", metadata: ["reason": "\(error)"])
    }
  }
}
