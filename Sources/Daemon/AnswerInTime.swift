/// What `work` returns, or `nil` when that takes longer than `limit`; whichever comes first, the other is
/// cancelled. Throws what `work` throws, and CancellationError when the caller is cancelled.
///
/// It returns once the work has ended: work that doesn't heed its cancellation holds the caller up.
package func answer<Answer: Sendable>(
  within limit: Duration, from work: @escaping @Sendable () async throws -> Answer
) async throws -> Answer? {
  try await withThrowingTaskGroup(of: Answer?.self) { tasks in
    tasks.addTask { try await work() }
    tasks.addTask {
      try await Task.sleep(for: limit)
      return nil
    }
    defer { tasks.cancelAll() }
    return try await tasks.next() ?? nil
  }
}
