import MeshCrypto
import MeshWire
import Metrics
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// Carries datagrams over TLS 1.3 streams, on one event loop: those that a core opens to relays, and those
/// that clients open to us.
///
/// TLS is here for the networks in between, which let nothing else through. Whoever may say what to whom is
/// decided inside, by SMH/1: so a client trusts the one certificate that the relay's signed record names, and
/// nothing else, and a server asks for none.
final class TLSStreams: StreamCarrier {
  /// Datagrams that wait to be written, over all streams; more are dropped and counted.
  static let outboxLimit = 4_096
  /// Bytes that one stream holds for a network that takes them slowly: a tenth of a second at 10 Mbit/s. More
  /// would be delivered too late to be of use.
  static let waterMark = ChannelOptions.Types.WriteBufferWaterMark(low: 64 << 10, high: 128 << 10)
  /// Bytes not yet sent that the kernel takes, for the same reason (TCP_NOTSENT_LOWAT).
  static let unsentBytes = 64 << 10
  private static let notSentLowWater = NIOBSDSocket.Option(rawValue: 25)
  static let connectTime = TimeAmount.seconds(3)

  private struct Outbox {
    var batch: [StreamDatagram] = []
    var isScheduled = false
    var listener: (any Channel)?
    var isStopped = false
  }

  private let eventLoop: any EventLoop
  private let table: NIOLoopBound<StreamTable>
  private let outbox = Mutex(Outbox())
  private let metrics: StreamMetrics
  private let patience: StreamHandler.Patience
  private let clientContext: NIOSSLContext

  /// Starts nothing: an event loop is taken from NIO's own group.
  static func make(
    inbox: any StreamInbox, metrics factory: any MetricsFactory,
    patience: StreamHandler.Patience = StreamHandler.Patience()
  ) async throws -> TLSStreams {
    let eventLoop = MultiThreadedEventLoopGroup.singleton.next()
    let metrics = StreamMetrics(factory: factory)
    let table = try await eventLoop.submit {
      NIOLoopBound(StreamTable(inbox: inbox, metrics: metrics), eventLoop: eventLoop)
    }.get()
    return try TLSStreams(eventLoop: eventLoop, table: table, metrics: metrics, patience: patience)
  }

  private init(
    eventLoop: any EventLoop, table: NIOLoopBound<StreamTable>, metrics: StreamMetrics,
    patience: StreamHandler.Patience
  ) throws {
    self.eventLoop = eventLoop
    self.table = table
    self.metrics = metrics
    self.patience = patience
    var tls = TLSConfiguration.makeClientConfiguration()
    tls.minimumTLSVersion = .tlsv13
    tls.curves = [.x25519_MLKEM768, .x25519]
    // There is no name to check: the callback of each connection compares the certificate itself.
    tls.certificateVerification = .noHostnameVerification
    tls.trustRoots = .certificates([])
    clientContext = try NIOSSLContext(configuration: tls)
  }

  // MARK: Serving

  /// Accepts streams until ``stop()``. Returns the endpoint that is bound.
  func listen(_ server: StreamServer) async throws -> Endpoint {
    let certificate = try NIOSSLCertificate(bytes: server.certificate, format: .der)
    let key = try NIOSSLPrivateKey(bytes: server.privateKey, format: .pem)
    var tls = TLSConfiguration.makeServerConfiguration(
      certificateChain: [.certificate(certificate)], privateKey: .privateKey(key))
    tls.minimumTLSVersion = .tlsv13
    tls.curves = [.x25519_MLKEM768, .x25519]
    let context = try NIOSSLContext(configuration: tls)
    let bootstrap = ServerBootstrap(group: eventLoop)
      .serverChannelOption(.backlog, value: 128)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(.tcpOption(Self.notSentLowWater), value: Self.unsentBytes)
      .childChannelOption(.writeBufferWaterMark, value: Self.waterMark)
      .childChannelInitializer { [table, patience] channel in
        channel.eventLoop.makeCompletedFuture {
          try Self.accept(channel, table.value, context, patience)
        }
      }
    let address = try SocketAddress(
      ipAddress: "\(server.endpoint.address)", port: Int(server.endpoint.port))
    let listener = try await bootstrap.bind(to: address).get()
    let isStopped = outbox.withLock { outbox in
      outbox.listener = listener
      return outbox.isStopped
    }
    if isStopped { listener.close(promise: nil) }
    return Endpoint(server.endpoint.address, port: UInt16(listener.localAddress?.port ?? 0))
  }

  private static func accept(
    _ channel: any Channel, _ table: StreamTable, _ context: NIOSSLContext, _ patience: StreamHandler.Patience
  ) throws {
    guard let remote = channel.remoteAddress, let address = IPAddress(remote),
      let number = table.accept(from: address)
    else { throw StreamRefused() }
    let handler = StreamHandler(number, owner: table, patience: patience)
    _ = table.add(handler, prefix: address.limitPrefix)
    try channel.pipeline.syncOperations.addHandlers(NIOSSLServerHandler(context: context), handler)
  }

  // MARK: Opening

  func open(_ stream: StreamNumber, to endpoint: Endpoint, certificate: [UInt8]) {
    eventLoop.execute { [self] in
      let table = table.value
      let handler = StreamHandler(stream, owner: table, patience: patience)
      guard table.add(handler) else { return }
      guard let address = try? SocketAddress(ipAddress: "\(endpoint.address)", port: Int(endpoint.port))
      else {
        return table.ended(stream, .handshake)
      }
      let bound = NIOLoopBound(handler, eventLoop: eventLoop)
      ClientBootstrap(group: eventLoop)
        .connectTimeout(Self.connectTime)
        .channelOption(.tcpOption(.tcp_nodelay), value: 1)
        .channelOption(.tcpOption(Self.notSentLowWater), value: Self.unsentBytes)
        .channelOption(.writeBufferWaterMark, value: Self.waterMark)
        .channelInitializer { [self] channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandlers(
              try tlsHandler(stream, certificate), bound.value)
          }
        }
        .connect(to: address)
        .whenFailure { [self] _ in self.table.value.ended(stream, .handshake) }
    }
  }

  private func tlsHandler(_ stream: StreamNumber, _ certificate: [UInt8]) throws -> NIOSSLClientHandler {
    try NIOSSLClientHandler(
      context: clientContext, serverHostname: nil,
      customVerificationCallback: { [table] chain, promise in
        let shown = chain.first.flatMap { try? $0.toDERBytes() }.map { Primitives.sha256($0) }
        if let shown, shown == certificate { return promise.succeed(.certificateVerified) }
        table.value.showedWrongCertificate(stream)
        promise.succeed(.failed)
      })
  }

  func close(_ stream: StreamNumber) {
    eventLoop.execute { [table] in table.value.close(stream) }
  }

  func stop() {
    let listener = outbox.withLock { outbox in
      outbox.isStopped = true
      return outbox.listener
    }
    listener?.close(promise: nil)
    eventLoop.execute { [table] in table.value.stop() }
  }

  // MARK: Datagrams

  func send(_ batch: [StreamDatagram]) {
    let (lost, isFirst) = outbox.withLock { outbox in
      let room = max(0, Self.outboxLimit - outbox.batch.count)
      outbox.batch += batch.prefix(room)
      defer { outbox.isScheduled = true }
      return (batch.count - min(room, batch.count), !outbox.isScheduled)
    }
    metrics.count(.streamFull, lost)
    guard isFirst else { return }
    eventLoop.execute { [self] in
      let batch = outbox.withLock { outbox in
        outbox.isScheduled = false
        defer { outbox.batch = [] }
        return outbox.batch
      }
      table.value.send(batch)
    }
  }
}

/// There are too many connections.
private struct StreamRefused: Error {}
