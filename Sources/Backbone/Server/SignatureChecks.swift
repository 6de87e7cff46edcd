import BackboneAPI
import NIOCore
import NIOPosix
import Synchronization

/// Threads for signature checks, which take 0.3 ms each and must not hold up the event loops.
///
/// At most ``waitingLimit`` checks wait or run at a time; more are turned away at once, so that a flood of
/// logins costs others their turn but never the backbone its memory.
final class SignatureChecks: Sendable {
  static let threadCount = 2
  static let waitingLimit = 128

  private let pool = NIOThreadPool(numberOfThreads: SignatureChecks.threadCount)
  private let waiting = Atomic<Int>(0)
  private let limit: Int

  init(limit: Int = SignatureChecks.waitingLimit) {
    self.limit = limit
    pool.start()
  }

  var waitingCount: Int { waiting.load(ordering: .relaxed) }

  /// Runs a check on one of the threads; throws ``Refusal`` `overloaded` when too many wait.
  func run<Value: Sendable>(_ check: @escaping @Sendable () -> Value) async throws -> Value {
    defer { waiting.wrappingSubtract(1, ordering: .relaxed) }
    guard waiting.wrappingAdd(1, ordering: .relaxed).newValue <= limit else {
      throw Refusal(.overloaded, retryAfter: 1)
    }
    return try await pool.runIfActive(check)
  }

  func shutdown() async throws { try await pool.shutdownGracefully() }
}
