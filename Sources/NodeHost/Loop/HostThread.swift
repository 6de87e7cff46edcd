import CLinux
import Daemon

/// A thread of the system's own, for work that waits in the kernel and must not hold up Swift's pool. It
/// blocks every signal.
struct HostThread: Sendable {
  private final class Start: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  private let identifier: UInt64

  /// Starts a thread; the name has 15 characters at most. It must be joined.
  init(name: String, body: @escaping @Sendable () -> Void) throws(SystemError) {
    let start = unsafe Unmanaged.passRetained(Start(body))
    var identifier: UInt64 = 0
    let result = unsafe clinux_thread_start(
      name,
      { context in
        guard let context = unsafe context else { return }
        unsafe Unmanaged<Start>.fromOpaque(context).takeRetainedValue().body()
      }, start.toOpaque(), &identifier)
    if result < 0 {
      unsafe start.release()
      throw SystemError(code: -result)
    }
    self.identifier = identifier
  }

  /// Waits for the thread's end; once only, and never on the thread itself.
  func join() { _ = clinux_thread_join(identifier) }
}
