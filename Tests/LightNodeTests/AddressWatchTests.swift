import Logging
import MeshCrypto
import MeshWire
import Synchronization
import Testing

@testable import LightNode

@Suite("Address watch", .timeLimit(.minutes(1)))
struct AddressWatchTests {
  private struct Told: Hashable, Sendable {
    /// The others are of the machine that the test runs on.
    let first: AnnouncedEndpoint?
    let hasMoved: Bool
  }

  private final class Routes: Sendable { let list = Mutex(["eth0 01"]) }

  private func first(_ stream: AsyncStream<Told>) async -> Told? {
    for await told in stream { return told }
    return nil
  }

  @Test("The start, another address, and another router are told; what is the same is not")
  func changes() async throws {
    var configuration = LightNodeConfiguration()
    configuration.endpoints = [Endpoint("203.0.113.1:7")!]
    let live = LiveConfiguration(configuration)
    let (stream, continuation) = AsyncStream<Told>.makeStream()
    let routes = Routes()
    var watch = AddressWatch(
      own: OwnEndpoints(configuration: live, listenPort: 7), logger: Logger(label: "test")
    ) { continuation.yield(Told(first: $0.first, hasMoved: $1)) }
    watch.defaultRoutes = { routes.list.withLock { $0 } }
    let running = Task { [watch] in try await watch.run() }
    let start = AnnouncedEndpoint(.configured, configuration.endpoints[0])
    #expect(await first(stream) == Told(first: start, hasMoved: false))

    // The same again is no news: the next that is told is the one after it.
    watch.look()
    routes.list.withLock { $0 = ["eth0 02"] }
    watch.look()
    #expect(await first(stream) == Told(first: start, hasMoved: true))

    configuration.endpoints = [Endpoint("203.0.113.2:7")!]
    _ = try live.take(configuration)
    watch.look()
    let moved = AnnouncedEndpoint(.configured, configuration.endpoints[0])
    #expect(await first(stream) == Told(first: moved, hasMoved: false))
    running.cancel()
    _ = await running.result
  }
}
