import Glibc
import MeshWire
import NIOCore
import Testing

@testable import LightNode

@Suite("Listening that failed")
struct ListenFailureTests {
  @Test(
    "The key, the port, the address and the next step are named",
    arguments: [
      (EADDRINUSE, "metrics_listen: TCP port 9460 of 127.0.0.1 is in use", "another port"),
      (EADDRNOTAVAIL, "metrics_listen: 127.0.0.1 is not an address of this machine", "127.0.0.1:9460"),
      (EACCES, "metrics_listen: TCP port 9460 is not open to this user", "from 1024 up"),
      (EIO, "metrics_listen: 127.0.0.1:9460 cannot be listened on: Input/output error", "another address"),
    ])
  func sentence(code: Int32, description: String, next: String) {
    let failure = ListenFailure(
      key: "metrics_listen", address: Endpoint("127.0.0.1:9460")!, IOError(errnoCode: code, reason: "bind"))
    #expect(failure.description.hasPrefix(description))
    #expect(failure.next.contains(next))
  }
}
