import Daemon
import Glibc

/// One daemon a state directory: two would sign with one sequence and write over each other's peers.
///
/// The lock is the kernel's, on the key file: it needs no file of its own, so a full disk does not keep the
/// daemon from starting, and it is gone with the process however that ends.
struct StateLock {
  /// Why the directory is not ours.
  struct Taken: Error, CustomStringConvertible {
    let description: String
    let next: String
  }

  private let descriptor: Int32

  init(directory: String) throws(Taken) {
    let path = Keystore(directory: directory).path
    descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0, flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let code = errno
      if descriptor >= 0 { close(descriptor) }
      guard code == EWOULDBLOCK else {
        throw Taken(description: "\(path) cannot be locked: \(SystemError(code: code))", next: "")
      }
      throw Taken(
        description: "another shadowmesh-lightnode uses \(directory)",
        next: "stop it, or give this one its own state_directory")
    }
  }

  /// Once, when nothing is written any more.
  func release() { close(descriptor) }
}
