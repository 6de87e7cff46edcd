import MeshPaths
import MeshWire
import NIOCore
import NIOPosix

/// The UDP socket that the gateway is asked from, on this machine's address towards it.
struct GatewaySocket: Sendable {
  /// More of a datagram is not taken, in bytes: nothing that the core reads is longer.
  static let longestDatagram = 2_048

  let local: IPAddress
  private let channel: any Channel

  init(local: IPAddress, received: @escaping @Sendable (_ bytes: [UInt8], _ from: Endpoint) -> Void)
    async throws
  {
    self.local = local
    channel = try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(DatagramReader(received: received))
        }
      }
      .bind(host: "\(local)", port: 0).get()
  }

  /// An error of the socket has closed it.
  var isOpen: Bool { channel.isActive }

  /// Without waiting; what can't be sent is lost, as on the way.
  func send(_ bytes: [UInt8], to endpoint: Endpoint) {
    guard let address = try? SocketAddress(ipAddress: "\(endpoint.address)", port: Int(endpoint.port)) else {
      return
    }
    channel.writeAndFlush(
      AddressedEnvelope(remoteAddress: address, data: ByteBuffer(bytes: bytes)), promise: nil)
  }

  func close() { channel.close(promise: nil) }
}

/// Hands on what comes, and whence.
private final class DatagramReader: ChannelInboundHandler, Sendable {
  typealias InboundIn = AddressedEnvelope<ByteBuffer>

  private let received: @Sendable ([UInt8], Endpoint) -> Void

  init(received: @escaping @Sendable ([UInt8], Endpoint) -> Void) { self.received = received }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let envelope = unwrapInboundIn(data)
    guard envelope.data.readableBytes <= GatewaySocket.longestDatagram,
      let address = envelope.remoteAddress.ipAddress.flatMap({ IPAddress($0) }),
      let port = envelope.remoteAddress.port
    else { return }
    received(Array(envelope.data.readableBytesView), Endpoint(address, port: UInt16(clamping: port)))
  }
}
