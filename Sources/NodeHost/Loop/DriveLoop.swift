import Daemon
import Glibc
import MeshCrypto
import MeshWire
import Metrics
import Synchronization

/// What the engine shares with its handle.
struct LoopParts<Core: NodeCore>: Sendable {
  let socket: UDPSocket
  let device: any PacketDevice
  let mailbox: Mailbox<Core>
  let notices: AsyncStream<NodeNotice>.Continuation
  let metrics: any MetricsFactory
}

/// The handle of a loop, generic over its core so that tests can drive the real loop with a core of their
/// own.
final class DriveLoop<Core: NodeCore>: Sendable {
  /// Makes the core, on the loop's thread.
  typealias Maker = @Sendable (_ now: Instant, _ wall: WallTime, _ randomSeed: [UInt8]) -> Core

  /// Notices that wait for the program; one more is lost, and counted.
  static var noticeLimit: Int { 1_024 }

  let notices: AsyncStream<NodeNotice>
  private let parts: LoopParts<Core>
  private let streamServer: StreamServer?
  private let perform: @Sendable (CryptoJob) -> CryptoResult
  private let makeCore: Maker
  private let hasRun = Atomic(false)

  init(
    socket: UDPSocket, device: any PacketDevice, metrics: any MetricsFactory = MetricsSystem.factory,
    streamServer: StreamServer? = nil, perform: @escaping @Sendable (CryptoJob) -> CryptoResult,
    makeCore: @escaping Maker
  ) throws(SystemError) {
    let (stream, continuation) = AsyncStream.makeStream(
      of: NodeNotice.self, bufferingPolicy: .bufferingOldest(Self.noticeLimit))
    notices = stream
    parts = LoopParts(
      socket: socket, device: device, mailbox: try Mailbox(), notices: continuation,
      metrics: metrics)
    self.streamServer = streamServer
    self.perform = perform
    self.makeCore = makeCore
  }

  func perform<R: Sendable>(
    _ body: @escaping @Sendable (inout Core, Instant, WallTime) -> R
  ) async throws -> R {
    try await withCheckedThrowingContinuation { (waiter: CheckedContinuation<R, any Error>) in
      parts.mailbox.post(
        Mailbox.Command(
          run: { core, now, wall in waiter.resume(returning: body(&core, now, wall)) },
          refuse: { waiter.resume(throwing: $0) }))
    }
  }

  /// Ends ``run()``. Before that, it lets it end as soon as it begins.
  func stop() { parts.mailbox.stop() }

  func run() async throws {
    guard !hasRun.exchange(true, ordering: .acquiringAndReleasing) else { throw NodeLoopError.alreadyRan }
    let streams = try await openStreams()
    defer { streams.stop() }
    let thread = Mutex<HostThread?>(nil)
    defer { thread.withLock { $0 }?.join() }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (waiter: CheckedContinuation<Void, any Error>) in
        do {
          let started = try HostThread(name: "mesh-loop") {
            waiter.resume(with: Result { try self.turn(streams) })
          }
          thread.withLock { $0 = started }
        } catch {
          close()
          waiter.resume(throwing: error)
        }
      }
    } onCancel: {
      stop()
    }
  }

  private func openStreams() async throws -> TLSStreams {
    do {
      let streams = try await TLSStreams.make(inbox: parts.mailbox, metrics: parts.metrics)
      guard let streamServer else { return streams }
      do { _ = try await streams.listen(streamServer) } catch {
        throw NodeLoopError.streamsRefused(streamServer.endpoint, reason: "\(error)")
      }
      return streams
    } catch {
      close()
      throw error
    }
  }

  /// The whole life of the loop's thread.
  private func turn(_ streams: TLSStreams) throws {
    defer { close() }
    do {
      let mailbox = parts.mailbox
      let cores = sysconf(Int32(_SC_NPROCESSORS_ONLN))
      let pool = try CryptoPool(threads: max(1, cores - 1), perform: perform) { mailbox.post($1, for: $0) }
      defer { pool.stop() }
      let now = HostClock.now
      let core = makeCore(now, HostClock.wall, HostClock.randomSeed())
      var engine = try LoopEngine(parts: parts, streams: streams, pool: pool, core: core, now: now)
      try engine.run()
    } catch let error as SystemError {
      throw NodeLoopError.system(error)
    }
  }

  private func close() {
    parts.mailbox.close()
    parts.notices.finish()
    parts.socket.close()
    parts.device.close()
  }
}
