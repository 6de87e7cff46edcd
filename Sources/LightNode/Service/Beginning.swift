import Synchronization

/// Waits for the last of several parts to listen: only then is the service manager told that the daemon runs.
final class Beginning: Sendable {
  private let missing: Mutex<Int>
  private let body: @Sendable () -> Void

  /// `body` is called once, by the last of `parts`.
  init(of parts: Int, then body: @escaping @Sendable () -> Void) {
    missing = Mutex(parts)
    self.body = body
  }

  /// One part listens.
  @Sendable func hasBegun() {
    let isLast = missing.withLock { missing in
      missing -= 1
      return missing == 0
    }
    if isLast { body() }
  }
}
