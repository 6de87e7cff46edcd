import MeshNode
import Synchronization

/// The counters as they were when they were last read.
final class LastCounters: Sendable {
  private let state = Mutex(NodeCounters())

  /// Stores the new ones and returns the old.
  func exchange(_ new: NodeCounters) -> NodeCounters {
    state.withLock { state in
      let old = state
      state = new
      return old
    }
  }
}
