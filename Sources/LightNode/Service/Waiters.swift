import Synchronization

/// Tasks that wait for an outcome by its key. An outcome that comes before its waiter is kept; one that
/// nobody waits for is dropped after ``earlyLimit`` others.
final class Waiters<Key: Hashable & Sendable, Outcome: Sendable>: Sendable {
  /// Outcomes kept for waiters to come.
  static var earlyLimit: Int { 128 }

  private struct State {
    var waiting: [Key: CheckedContinuation<Outcome?, Never>] = [:]
    var early: [(key: Key, outcome: Outcome)] = []
  }

  private let state = Mutex(State())

  /// The outcome, or `nil` when it takes longer than `duration`, the task is cancelled, or another waits anew
  /// for the same key.
  func outcome(of key: Key, within duration: Duration) async -> Outcome? {
    await withTaskGroup(of: Void.self, returning: Outcome?.self) { group in
      group.addTask {
        try? await Task.sleep(for: duration)
        if !Task.isCancelled { self.finish(key, nil, keepsEarly: false) }
      }
      let outcome = await withTaskCancellationHandler {
        await withCheckedContinuation { waiter in self.register(waiter, for: key) }
      } onCancel: {
        self.finish(key, nil, keepsEarly: false)
      }
      group.cancelAll()
      return outcome
    }
  }

  /// Hands an outcome to who waits for it, now or soon.
  func resolve(_ key: Key, _ outcome: Outcome) { finish(key, outcome, keepsEarly: true) }

  private func register(_ waiter: CheckedContinuation<Outcome?, Never>, for key: Key) {
    let (early, replaced) = state.withLock { state -> (Outcome?, CheckedContinuation<Outcome?, Never>?) in
      // A cancellation before this went by unheard, and one after this finds the waiter.
      if Task.isCancelled { return (nil, waiter) }
      if let index = state.early.firstIndex(where: { $0.key == key }) {
        return (state.early.remove(at: index).outcome, nil)
      }
      return (nil, state.waiting.updateValue(waiter, forKey: key))
    }
    replaced?.resume(returning: nil)
    if let early { waiter.resume(returning: early) }
  }

  private func finish(_ key: Key, _ outcome: Outcome?, keepsEarly: Bool) {
    let waiter = state.withLock { state -> CheckedContinuation<Outcome?, Never>? in
      if let waiter = state.waiting.removeValue(forKey: key) { return waiter }
      if let outcome, keepsEarly {
        if state.early.count >= Self.earlyLimit { state.early.removeFirst() }
        state.early.append((key, outcome))
      }
      return nil
    }
    waiter?.resume(returning: outcome)
  }
}
