import HummingbirdCore
import Logging
import NIOCore

/// Serves each connection on the event loop of its channel.
///
/// By default the task of a connection runs on Swift's own threads, so that each request is handed to another
/// thread and back: two wake-ups, which cost more than most requests do. Here it stays where its bytes
/// arrive. What takes longer than some tens of microseconds goes to ``WorkThreads``.
struct OnEventLoop<Base: ServerChildChannel>: ServerChildChannel {
  /// A whole login fits, so that it goes through the pipeline once and not in pieces.
  static var readBytes: Int { 16 << 10 }

  let base: Base

  func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Base.Value> {
    channel.setOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: Self.readBytes))
      .flatMap { base.setup(channel: channel, logger: logger) }
      .flatMapThrowing { value in
        try HostCheck.add(to: channel)
        return value
      }
  }

  func handle(value: Base.Value, logger: Logger) async {
    await withTaskExecutorPreference(EventLoopExecutor(value.channel.eventLoop)) {
      await base.handle(value: value, logger: logger)
    }
  }
}

/// Runs tasks on one event loop.
final class EventLoopExecutor: TaskExecutor {
  private let eventLoop: any EventLoop

  init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    // why: the closure holds the executor for as long as the job runs.
    eventLoop.execute { unsafe job.runSynchronously(on: self.asUnownedTaskExecutor()) }
  }
}
