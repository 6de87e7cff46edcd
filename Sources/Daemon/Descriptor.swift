import Glibc
import Synchronization

/// A file descriptor that is closed once: by ``close()``, or when the last reference goes.
package final class Descriptor: Sendable {
  /// What the system calls it.
  package let number: Int32
  private let isClosed = Atomic(false)

  /// Takes over an open descriptor.
  package init(_ number: Int32) { self.number = number }

  /// Closes the descriptor; a second call does nothing. Nobody may use ``number`` afterwards.
  package func close() {
    if !isClosed.exchange(true, ordering: .acquiringAndReleasing) { _ = Glibc.close(number) }
  }

  deinit { close() }
}
