public import Daemon
public import MeshCrypto
public import MeshNode
public import MeshWire
public import Metrics

/// Runs a ``MeshNode`` for real: one thread of its own moves packets between a UDP socket and a device, and a
/// small pool performs the asymmetric cryptography.
///
/// The loop owns the socket and the device from here on: both are closed when it ends.
public final class NodeLoop: Sendable {
  /// Events and questions of the node, for one reader. At most 1,024 wait; what comes then is lost, and
  /// counted in `shadowmesh_notices_lost_total`. Ends with the loop.
  public var notices: AsyncStream<NodeNotice> { loop.notices }

  private let loop: DriveLoop<MeshNode>

  /// Prepares a loop; ``run()`` starts it.
  ///
  /// - Parameters:
  ///   - metrics: told what the loop moves and drops.
  ///   - streamServer: serves TLS streams to clients whose network lets no UDP through; `nil`: none.
  ///   - prepare: called on the loop's thread before the first packet, to add peers and restore a snapshot.
  public init(
    configuration: NodeConfiguration, identity: IdentityKey, socket: UDPSocket, device: any PacketDevice,
    metrics: any MetricsFactory = MetricsSystem.factory, streamServer: StreamServer? = nil,
    prepare: @escaping @Sendable (inout MeshNode, Instant, WallTime) -> Void = { _, _, _ in }
  ) throws(SystemError) {
    loop = try DriveLoop(
      socket: socket, device: device, metrics: metrics, streamServer: streamServer,
      perform: { $0.perform(with: identity) },
      makeCore: { now, wall, seed in
        var node = MeshNode(
          configuration: configuration, publicKey: identity.publicKey, randomSeed: seed, now: now, wall: wall)
        prepare(&node, now, wall)
        return node
      })
  }

  /// Does something with the node, between packets, on the loop's thread: it must be quick. Waits until it is
  /// done, also for a loop that has not begun yet.
  ///
  /// Throws ``NodeLoopError/busy`` when 256 wait already, ``NodeLoopError/stopped`` when the
  /// loop has ended or ends before it comes to this.
  public func perform<R: Sendable>(
    _ body: @escaping @Sendable (inout MeshNode, Instant, WallTime) -> R
  ) async throws -> R {
    try await loop.perform(body)
  }

  /// Runs until ``stop()`` or until the task is cancelled; both are a normal end. Throws ``NodeLoopError``
  /// when the device is lost or the system refuses what is needed. Once only.
  public func run() async throws { try await loop.run() }

  /// Ends ``run()`` soon; may be called from anywhere, any number of times.
  public func stop() { loop.stop() }
}
