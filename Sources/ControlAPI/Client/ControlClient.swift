import Foundation

/// Talks to the daemon over its UNIX socket: one request a connection, blocking, with a time-out on every
/// wait.
public struct ControlClient: Sendable {
  /// Where the daemon listens unless it is told otherwise.
  public static let defaultSocketPath = "/run/shadowmesh/control.sock"

  /// Why no answer came at all; the daemon's own refusals are ``ControlFailure``.
  public enum Failure: Error, Hashable, Sendable {
    /// Nothing listens on the socket.
    case notRunning(path: String)
    /// The socket is there, and this user may not use it.
    case notPermitted(path: String)
    /// The path does not fit in a socket address (107 bytes).
    case pathTooLong(path: String)
    case timedOut(seconds: Int)
    /// The connection ended in the middle.
    case connectionLost(String)
  }

  public let socketPath: String

  public init(socketPath: String = Self.defaultSocketPath) { self.socketPath = socketPath }

  /// Sends one request and hands over each answer as it comes; returns after the last.
  ///
  /// `timeout` is the longest wait for any one line, in seconds: longer than the daemon itself waits for
  /// others, so that its answer is the one that is seen. Throws ``Failure`` or ``ControlFailure``.
  public func send(_ request: ControlRequest, timeout: Int = 40, each: (ControlAnswer) throws -> Void) throws
  {
    let line = try ControlLine.encode(ControlEnvelope(request))
    let socket = try UnixStream(connectingTo: socketPath, timeout: timeout)
    defer { socket.close() }
    try socket.write(line)
    var more = true
    while more {
      guard let answer = try socket.readLine(limit: ControlLine.maximumLength) else {
        throw Failure.connectionLost("the daemon closed the connection without an answer")
      }
      let envelope = try ControlLine.decode(ControlAnswer.self, from: answer)
      if case .failure(let failure) = envelope.body { throw failure }
      try each(envelope.body)
      more = envelope.more
    }
  }

  /// Sends one request that has one answer.
  public func send(_ request: ControlRequest, timeout: Int = 40) throws -> ControlAnswer {
    var last: ControlAnswer?
    try send(request, timeout: timeout) { last = $0 }
    guard let last else { throw Failure.connectionLost("the daemon sent no answer") }
    return last
  }
}
