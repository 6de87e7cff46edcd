import CLinux
import Glibc
import MeshWire
import Synchronization
import Testing

@testable import NodeHost

@Suite("Network changes", .timeLimit(.minutes(1)))
struct NetworkChangesTests {
  /// Whether the kernel has told anything until now.
  private func news(_ descriptor: Int32) -> Int32 { clinux_changes_take(descriptor) }

  /// The same once it has, which may be a moment after the change, and after something that is no news.
  private func nextNews(_ descriptor: Int32) -> Int32 {
    var awaited = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    while poll(&awaited, 1, 10_000) == 1 {
      let told = news(descriptor)
      if told != 0 { return told }
    }
    return 0
  }

  @Test(
    "an address that comes or goes is told, and a route to one network is not",
    .enabled(if: mayMakeDevices, needsDevices))
  func addresses() throws {
    let result = inNetworkNamespace {
      Result {
        let descriptor = clinux_changes_open()
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        #expect(news(descriptor) == 0)
        let device = try TunDevice(name: "mesh%d")
        let index = clinux_interface_index(device.name)
        #expect(clinux_interface_no_autoconf(index) >= 0)
        #expect(clinux_interface_up(index) == 0)
        _ = news(descriptor)
        let address: [UInt8] = [0x20, 1, 0x0d, 0xb8] + Array(repeating: 0, count: 11) + [1]
        #expect(clinux_interface_address(index, address) == 0)
        #expect(nextNews(descriptor) == 1)
        #expect(news(descriptor) == 0)
        #expect(clinux_interface_route(index, [0x20, 2] + Array(repeating: 0, count: 14), 16, nil) == 0)
        #expect(news(descriptor) == 0)
        #expect(clinux_interface_route(index, Array(repeating: 0, count: 16), 0, nil) == 0)
        #expect(nextNews(descriptor) == 1)
        device.close()
        #expect(nextNews(descriptor) == 1)
      }
    }
    try #require(result).get()
  }

  @Test("watching ends when it is cancelled")
  func ends() async throws {
    let changes = try NetworkChanges()
    let task = Task { try await changes.run {} }
    task.cancel()
    try await task.value
  }
}
