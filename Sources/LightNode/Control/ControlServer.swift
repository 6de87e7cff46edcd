import ControlAPI
import Daemon
import Foundation
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// Serves the UNIX socket: one request a connection, at most ``clientLimit`` connections, 10 s to say what is
/// wanted.
struct ControlServer: Sendable {
  static let clientLimit = 32
  static let requestTime: Duration = .seconds(10)

  typealias Connection = NIOAsyncChannel<ByteBuffer, ByteBuffer>
  typealias Answering = @Sendable (ControlRequest, ControlDesk.Emit) async throws -> Void

  let socket: ControlSocket
  let logger: Logger
  let answering: Answering

  /// Runs until it is cancelled; removes the socket.
  func run(listening: () async -> Void) async throws {
    let server = try await socket.listen()
    defer { socket.remove() }
    await listening()
    let clients = ClientCount(limit: Self.clientLimit)
    try await server.executeThenClose { inbound in
      try await withThrowingDiscardingTaskGroup { group in
        for try await channel in inbound {
          let isAdmitted = clients.enter()
          group.addTask {
            await serve(channel, isAdmitted: isAdmitted)
            if isAdmitted { clients.leave() }
          }
        }
      }
    }
  }

  private func serve(_ channel: any Channel, isAdmitted: Bool) async {
    if let credentials = await Self.credentials(of: channel) {
      logger.debug(
        "control client",
        metadata: ["client.pid": "\(credentials.process)", "client.uid": "\(credentials.user)"])
    }
    do {
      let connection = try await channel.eventLoop.submit {
        try Connection(
          wrappingChannelSynchronously: channel,
          configuration: .init(inboundType: ByteBuffer.self, outboundType: ByteBuffer.self))
      }.get()
      try await connection.executeThenClose { inbound, outbound in
        try await channel.setOption(.autoRead, value: true).get()
        do {
          guard isAdmitted else {
            throw ControlFailure(
              .busy, "\(Self.clientLimit) programs are talking to the daemon", next: "try again in a moment")
          }
          let line = try await Self.readLine(inbound)
          let request = try ControlLine.decode(ControlRequest.self, from: line).body
          try await answering(request) { answer, more in
            try await outbound.write(
              ByteBuffer(bytes: ControlLine.encode(ControlEnvelope(answer, more: more))))
          }
        } catch let error where !(error is CancellationError) {
          let failure = error as? ControlFailure ?? ControlFailure(.unavailable, "\(error)")
          let line = try ControlLine.encode(ControlEnvelope(ControlAnswer.failure(failure)))
          try await outbound.write(ByteBuffer(bytes: line))
        }
        outbound.finish()
      }
    } catch {
      logger.debug("control connection ended early", metadata: ["reason": "\(error)"])
    }
  }

  /// Everything up to the first newline, at most ``ControlLine/maximumLength`` bytes.
  private static func readLine(_ inbound: NIOAsyncChannelInboundStream<ByteBuffer>) async throws -> Data {
    let line = try await Daemon.answer(within: Self.requestTime) {
      var line = Data()
      for try await chunk in inbound {
        let bytes = chunk.readableBytesView
        if let newline = bytes.firstIndex(of: 10) {
          line.append(contentsOf: bytes[..<newline])
          return line
        }
        line.append(contentsOf: bytes)
        guard line.count <= ControlLine.maximumLength else { break }
      }
      throw ControlFailure(.badRequest, "not one line of at most \(ControlLine.maximumLength) bytes")
    }
    guard let line else { throw ControlFailure(.timedOut, "no request came") }
    return line
  }

  /// The kernel's `struct ucred` (unix(7)), which Glibc's module does not show.
  private struct Caller: BitwiseCopyable {
    var process: Int32
    var user: UInt32
    var group: UInt32
  }

  private static func credentials(of channel: any Channel) async -> Caller? {
    guard let provider = channel as? any SocketOptionProvider else { return nil }
    return try? await provider.unsafeGetSocketOption(
      level: .init(rawValue: SOL_SOCKET), name: .init(rawValue: SO_PEERCRED)
    ).get()
  }
}

/// How many connections are served now.
private final class ClientCount: Sendable {
  private let limit: Int
  private let count = Mutex(0)

  init(limit: Int) { self.limit = limit }

  /// Whether there is room for one more.
  func enter() -> Bool {
    count.withLock { count in
      guard count < limit else { return false }
      count += 1
      return true
    }
  }

  func leave() { count.withLock { $0 -= 1 } }
}
