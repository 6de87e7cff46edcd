import CLinux
public import Daemon
import Synchronization

/// The kernel's word, at once, that an address of an interface or a default route has come or gone
/// (rtnetlink(7)).
public struct NetworkChanges: Sendable {
  private static let changed: Int32 = 1
  private static let stopped: Int32 = 2

  private let news: Descriptor
  private let stop: Descriptor
  private let poller: Descriptor

  /// Begins to listen: what changes from here on is told by ``run(_:)``.
  public init() throws(SystemError) {
    news = Descriptor(try SystemError.check(clinux_changes_open()))
    stop = Descriptor(try SystemError.check(clinux_event_open(false)))
    poller = Descriptor(try SystemError.check(clinux_poller_open()))
    try SystemError.check(clinux_poller_add(poller.number, news.number, UInt32(Self.changed)))
    try SystemError.check(clinux_poller_add(poller.number, stop.number, UInt32(Self.stopped)))
  }

  /// Calls `noticed` on a thread of its own, once for any number of changes at a moment, until the task is
  /// cancelled. Once only. Throws `SystemError` when the kernel tells no more.
  public func run(_ noticed: @escaping @Sendable () -> Void) async throws {
    let thread = Mutex<HostThread?>(nil)
    defer { thread.withLock { $0 }?.join() }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (waiter: CheckedContinuation<Void, any Error>) in
        do {
          let started = try HostThread(name: "mesh-network") {
            waiter.resume(with: Result { try watch(noticed) })
          }
          thread.withLock { $0 = started }
        } catch {
          waiter.resume(throwing: error)
        }
      }
    } onCancel: {
      clinux_event_signal(stop.number, 1)
    }
  }

  private func watch(_ noticed: () -> Void) throws(SystemError) {
    while true {
      let ready = clinux_poller_wait(poller.number, -1)
      try SystemError.check(ready)
      if ready & Self.stopped != 0 { return }
      if try SystemError.check(clinux_changes_take(news.number)) > 0 { noticed() }
    }
  }
}
