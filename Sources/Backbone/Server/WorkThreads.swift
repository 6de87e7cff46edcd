import BackboneAPI
import NIOPosix
import Synchronization

/// Threads for what must not hold up the event loops: signature checks, which take 0.3 ms each, and the
/// writes to the store that follow them.
///
/// At most ``waitingLimit`` pieces of work wait or run at a time; more are turned away at once, so that a
/// flood costs others their turn but never the backbone its memory. Publications take half of the places at
/// most: nodes with tokens can't keep others from logging in.
final class WorkThreads: Sendable {
  static let count = 2
  static let waitingLimit = 128

  /// What the work is for.
  enum Purpose {
    case login
    case publication
  }

  private let executor: ThreadPoolExecutor
  private let publications = Atomic<Int>(0)
  private let waiting = Atomic<Int>(0)
  private let limit: Int

  init(limit: Int = WorkThreads.waitingLimit) {
    self.limit = limit
    executor = ThreadPoolExecutor(threads: WorkThreads.count)
  }

  var waitingCount: Int { waiting.load(ordering: .relaxed) }

  /// Runs `work` on one of the threads; throws ``Refusal`` `overloaded` when too much waits.
  func run<Value: Sendable>(
    for purpose: Purpose, _ work: @escaping @Sendable () async throws -> Value
  ) async throws -> Value {
    let share = purpose == .publication ? 1 : 0
    defer { publications.wrappingSubtract(share, ordering: .relaxed) }
    let others = publications.wrappingAdd(share, ordering: .relaxed).oldValue
    guard purpose == .login || others < max(1, limit / 2) else { throw Refusal(.overloaded, retryAfter: 1) }
    defer { waiting.wrappingSubtract(1, ordering: .relaxed) }
    guard waiting.wrappingAdd(1, ordering: .relaxed).newValue <= limit else {
      throw Refusal(.overloaded, retryAfter: 1)
    }
    // A task of its own: merely preferring the executor would let the compiler leave the hop out.
    return try await withThrowingTaskGroup(of: Value.self) { group in
      group.addTask(executorPreference: executor) { try await work() }
      guard let value = try await group.next() else { throw CancellationError() }
      return value
    }
  }

  func shutdown() async throws { try await executor.pool.shutdownGracefully() }
}

/// Runs tasks on the threads of a pool.
private final class ThreadPoolExecutor: TaskExecutor {
  let pool: NIOThreadPool

  init(threads: Int) {
    pool = NIOThreadPool(numberOfThreads: threads)
    pool.start()
  }

  /// A job must run whatever happens, or its task would never end: also when the pool is being shut down.
  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    // why: the closure holds the executor for as long as the job runs.
    pool.submit { _ in unsafe job.runSynchronously(on: self.asUnownedTaskExecutor()) }
  }
}
