import CLinux
import Glibc
import Synchronization
import Testing

@testable import NodeHost

private final class ResultBox<R: Sendable>: Sendable {
  let result = Mutex<R?>(nil)
}

/// Runs `body` on a thread of its own, which may leave the namespaces of the process, and waits for it.
func onThread<R: Sendable>(_ body: @escaping @Sendable () -> R?) -> R? {
  let box = ResultBox<R>()
  guard
    let thread = try? HostThread(
      name: "own-namespace",
      body: {
        let result = body()
        box.result.withLock { $0 = result }
      })
  else { return nil }
  thread.join()
  return box.result.withLock { $0 }
}

/// Runs `body` in a network namespace that goes away with it, or returns nil where that is not allowed.
func inNetworkNamespace<R: Sendable>(_ body: @escaping @Sendable () -> R) -> R? {
  onThread { clinux_leave_network() == 0 ? body() : nil }
}

/// Runs `body` where nobody else sees what it mounts, or returns nil where that is not allowed.
func inPrivateMounts<R: Sendable>(_ body: @escaping @Sendable () -> R) -> R? {
  onThread {
    guard clinux_leave_mounts() == 0, mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil) == 0
    else { return nil }
    return body()
  }
}

/// Where the rights are known to be there (`.ci/run` has tried), a test that misses them fails, and is not
/// left out.
let mustHaveRights = unsafe getenv("SHADOWMESH_TESTS_HAVE_RIGHTS") != nil

let isRoot = mustHaveRights || geteuid() == 0

let needsRoot: Comment = "needs root: a file of another user"

let needsDevices: Comment = "needs root and /dev/net/tun: a TUN device in a network namespace of its own"

let needsMounts: Comment = "needs root: a file system of its own that gets full"

let mayMakeDevices =
  mustHaveRights || inNetworkNamespace { (try? TunDevice(name: "probe%d")) != nil } ?? false

let mayMountTmpfs =
  mustHaveRights || inPrivateMounts { mount("tmpfs", "/mnt", "tmpfs", 0, "size=8k") == 0 } ?? false
