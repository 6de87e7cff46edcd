import Foundation
import MeshCrypto
import MeshWire
import Metrics
import MetricsTestKit
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import Testing

@testable import NodeHost

/// A certificate of a test relay, made with openssl.
enum TestCertificate {
  static let key = """
    -----BEGIN PRIVATE KEY-----
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgNDJp5W0e4Msk8EM1
    7AzAQd9xoifZXDfGgObpqC6cmjShRANCAAQn3hIOUmHtCAFURUKyHLGV+tnjx7lT
    19a0dHYCOEqAjgWApcDRpMIbttfCi2vAUzQNyovG2sAS22oksQL+/DPF
    -----END PRIVATE KEY-----

    """
  static let der = [UInt8](
    Data(
      base64Encoded: """
        MIIBdjCCAR2gAwIBAgIUVYkr5SUn25S8QzclJwEyvsZy2F4wCgYIKoZIzj0EAwIwEDEOMAwGA1UEAwwFcmVsYXkwIBcN\
        MjYxMTIzMDY0NjM1WhgPMjEyNjEwMzAwNjQ2MzVaMBAxDjAMBgNVBAMMBXJlbGF5MFkwEwYHKoZIzj0CAQYIKoZIzj0D\
        AQcDQgAEJ94SDlJh7QgBVEVCshyxlfrZ48e5U9fWtHR2AjhKgI4FgKXA0aTCG7bXwotrwFM0DcqLxtrAEttqJLEC/vwz\
        xaNTMFEwHQYDVR0OBBYEFF2UvoGhrqPSwN9dw2du3D93IF8LMB8GA1UdIwQYMBaAFF2UvoGhrqPSwN9dw2du3D93IF8L\
        MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgXbRb7lMNx/gX3ZTElSCEnF6axjpAemjvKazcUpk7uXMC\
        IBX6mJ4qBgSMEKphaGN4tu68dcCXW/WbWixV/P7D6ar7
        """)!)
  static let hash = Primitives.sha256(der)

  static func server(port: UInt16 = 0) -> StreamServer {
    StreamServer(
      endpoint: Endpoint(.v4(0x7f00_0001), port: port), certificate: der, privateKey: Array(key.utf8))
  }
}

/// Remembers what came out of streams, and lets a test wait for it.
final class RecordingInbox: StreamInbox {
  private struct State {
    var datagrams: [StreamDatagram] = []
    var changes: [StreamChange] = []
    var room = Int.max
  }
  private let state = Mutex(State())

  func post(streamed datagrams: [StreamDatagram]) -> Int {
    state.withLock { state in
      let taken = min(state.room, datagrams.count)
      state.datagrams += datagrams.prefix(taken)
      return datagrams.count - taken
    }
  }

  func post(_ change: StreamChange) { state.withLock { $0.changes.append(change) } }

  var datagrams: [StreamDatagram] { state.withLock { $0.datagrams } }
  var changes: [StreamChange] { state.withLock { $0.changes } }
  func setRoom(_ room: Int) { state.withLock { $0.room = room } }
}

/// Waits for what happens on another thread; the suite's time limit ends it.
func eventually(_ condition: () -> Bool) async {
  while !condition() { await Task.yield() }
}

/// A raw TLS client that can say anything, or a TCP client that doesn't even speak TLS.
final class RawClient: Sendable {
  private let channel: any Channel
  let isClosed = Atomic(false)

  private init(_ channel: any Channel) {
    self.channel = channel
    channel.closeFuture.whenComplete { [self] _ in isClosed.store(true, ordering: .relaxed) }
  }

  static func connect(to endpoint: Endpoint, tls: Bool = true) async throws -> RawClient {
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.certificateVerification = .none
    let context = try NIOSSLContext(configuration: configuration)
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          guard tls else { return }
          try channel.pipeline.syncOperations.addHandler(
            NIOSSLClientHandler(context: context, serverHostname: nil))
        }
      }
      .connect(host: "127.0.0.1", port: Int(endpoint.port)).get()
    return RawClient(channel)
  }

  func say(_ bytes: [UInt8]) {
    channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
  }

  func close() { channel.close(promise: nil) }
}
