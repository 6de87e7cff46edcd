import Synchronization

/// Ends one task's pause early. Rings are not counted: several before a pause are one.
final class Alarm: Sendable {
  private struct State {
    var isRung = false
    var waiter: CheckedContinuation<Void, Never>?
  }

  private let state = Mutex(State())

  /// Wakes who pauses now, or lets the next pause end at once.
  func ring() {
    let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
      if let waiter = state.waiter {
        state.waiter = nil
        return waiter
      }
      state.isRung = true
      return nil
    }
    waiter?.resume()
  }

  /// Returns after `duration` or at a ring, whichever is first. One task at a time. Throws when it is
  /// cancelled.
  func pause(atMost duration: Duration) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await Task.sleep(for: duration) }
      group.addTask { await self.waitForRing() }
      try await group.next()
      group.cancelAll()
    }
    try Task.checkCancellation()
  }

  private func waitForRing() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { (waiter: CheckedContinuation<Void, Never>) in
        let isOver = state.withLock { state in
          if state.isRung || Task.isCancelled {
            state.isRung = state.isRung && Task.isCancelled
            return true
          }
          state.waiter = waiter
          return false
        }
        if isOver { waiter.resume() }
      }
    } onCancel: {
      let waiter = state.withLock { state in
        let waiter = state.waiter
        state.waiter = nil
        return waiter
      }
      waiter?.resume()
    }
  }
}
