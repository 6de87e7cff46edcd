import Foundation
import Glibc

/// A connected UNIX stream socket with blocking reads and writes that give up after a time.
final class UnixStream {
  private let descriptor: Int32
  private let timeout: Int
  private var buffer = Data()

  init(connectingTo path: String, timeout: Int) throws(ControlClient.Failure) {
    self.timeout = timeout
    let bytes = Array(path.utf8)
    guard bytes.count < 108, !bytes.contains(0) else { throw .pathTooLong(path: path) }
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw .connectionLost(Self.reason(errno)) }
    self.descriptor = descriptor
    var limit = timeval(tv_sec: timeout, tv_usec: 0)
    let limitSize = socklen_t(MemoryLayout<timeval>.size)
    _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, limitSize)
    _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, limitSize)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    let result = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe connect(descriptor, $0, size)
      }
    }
    guard result == 0 else {
      let code = errno
      _ = Glibc.close(descriptor)
      switch code {
      case ENOENT, ECONNREFUSED, ENOTDIR: throw .notRunning(path: path)
      case EACCES, EPERM: throw .notPermitted(path: path)
      case EAGAIN: throw .timedOut(seconds: timeout)
      default: throw .connectionLost(Self.reason(code))
      }
    }
  }

  func close() { _ = Glibc.close(descriptor) }

  func write(_ data: Data) throws(ControlClient.Failure) {
    var rest = data[...]
    while !rest.isEmpty {
      let count = unsafe rest.withUnsafeBytes { bytes in
        unsafe send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
      }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else {
        try failUnlessInterrupted()
      }
    }
  }

  /// The next line without its newline; `nil` when the other side has closed between lines.
  func readLine(limit: Int) throws(ControlClient.Failure) -> Data? {
    while true {
      if let newline = buffer.firstIndex(of: 10) {
        let line = Data(buffer[..<newline])
        buffer = Data(buffer[buffer.index(after: newline)...])
        return line
      }
      guard buffer.count < limit else { throw .connectionLost("an answer over \(limit) bytes") }
      var chunk = [UInt8](repeating: 0, count: 4_096)
      let count = unsafe chunk.withUnsafeMutableBytes { bytes in
        unsafe recv(descriptor, bytes.baseAddress, bytes.count, 0)
      }
      if count > 0 {
        buffer.append(contentsOf: chunk[..<count])
      } else if count == 0 {
        if buffer.isEmpty { return nil }
        throw .connectionLost("the daemon closed the connection inside a line")
      } else {
        try failUnlessInterrupted()
      }
    }
  }

  private func failUnlessInterrupted() throws(ControlClient.Failure) {
    switch errno {
    case EINTR: return
    case EAGAIN: throw .timedOut(seconds: timeout)
    case let code: throw .connectionLost(Self.reason(code))
    }
  }

  private static func reason(_ code: Int32) -> String { unsafe String(cString: strerror(code)) }
}
