import ControlAPI
import Foundation
import Glibc
import Logging
import NIOCore
import NIOPosix

/// The socket's place in the file system: mode 0660 and the group that daily use needs no sudo with.
struct ControlSocket: Sendable {
  let path: String
  let group: String
  let logger: Logger

  /// Why the socket cannot be served.
  enum Failure: Error, CustomStringConvertible {
    case taken(path: String)
    case cannotListen(path: String, reason: String)

    var description: String {
      switch self {
      case .taken(let path):
        "another daemon serves \(path)"
      case .cannotListen(let path, let reason):
        "control_socket: cannot listen on \(path): \(reason)"
      }
    }

    /// What a person can do about it.
    var next: String {
      switch self {
      case .taken: "stop it, or give this one its own control_socket"
      case .cannotListen(let path, _):
        "its directory must exist and be writable for this user: "
          + path.prefix(upTo: path.lastIndex(of: "/") ?? path.endIndex)
      }
    }
  }

  /// Binds with nobody else's access, then opens it to the group: there is no moment with more.
  ///
  /// The connections come bare and unread: one that is accepted and then never served, because the daemon
  /// stops, is simply dropped.
  func listen() async throws -> NIOAsyncChannel<any Channel, Never> {
    try refuseIfServed()
    makeDirectory()
    let channel: NIOAsyncChannel<any Channel, Never>
    do {
      channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
        .serverChannelOption(.backlog, value: 32)
        .childChannelOption(.autoRead, value: false)
        .bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true) { channel in
          channel.eventLoop.makeSucceededFuture(channel as any Channel)
        }
    } catch {
      throw Failure.cannotListen(path: path, reason: ListenFailure.reason(error))
    }
    openToGroup()
    return channel
  }

  /// Where no unit made it: `/run` is empty at every boot. Its parent has to be there; that it could not be
  /// made is told by the socket that cannot be.
  private func makeDirectory() {
    let directory = String(path.prefix(upTo: path.lastIndex(of: "/") ?? path.startIndex))
    guard unsafe mkdir(directory, 0o755) == 0 else { return }
    // Whatever the umask is: others must get as far as the socket, whose own mode decides.
    _ = unsafe chmod(directory, 0o755)
  }

  func remove() { _ = unsafe unlink(path) }

  private func refuseIfServed() throws {
    do {
      _ = try ControlClient(socketPath: path).send(.status, timeout: 2)
    } catch ControlClient.Failure.notRunning {
      return
    } catch ControlClient.Failure.pathTooLong {
      return
    } catch ControlClient.Failure.notPermitted {
      throw Failure.cannotListen(path: path, reason: "no permission")
    } catch {}
    throw Failure.taken(path: path)
  }

  private func openToGroup() {
    guard let number = Self.number(ofGroup: group) else {
      logger.warning(
        "the control group does not exist: only this daemon's user may use the socket",
        metadata: ["group": "\(group)"])
      return
    }
    guard unsafe chown(path, geteuid(), number) == 0, unsafe chmod(path, 0o660) == 0 else {
      logger.warning(
        "the control socket could not be opened to its group",
        metadata: ["group": "\(group)", "reason": "\(unsafe String(cString: strerror(errno)))"])
      return
    }
  }

  private static func number(ofGroup name: String) -> gid_t? {
    var entry = unsafe GroupEntry()
    var buffer = [CChar](repeating: 0, count: 16_384)
    var found: UnsafeMutablePointer<GroupEntry>?
    guard unsafe getgrnam_r(name, &entry, &buffer, buffer.count, &found) == 0, unsafe found != nil else {
      return nil
    }
    return unsafe entry.gr_gid
  }
}

private typealias GroupEntry = Glibc.group
