import Foundation
import Logging
import MeshWire
import NIOCore
import NIOPosix
import Observability
import Synchronization
import Testing

@testable import LightNode
@testable import MeshNode

@Suite("Metrics server")
struct MetricsServerTests {
  /// The server's sockets of a state (tcp(5)): 0A listens, 01 is connected. Those that wait in the kernel's
  /// queue have no inode, and are no open files of the daemon's yet.
  private func sockets(on port: Int, state: String) throws -> Int {
    let local = "0100007F:" + String(format: "%04X", port)
    return try String(contentsOfFile: "/proc/self/net/tcp", encoding: .utf8).split(separator: "\n").count {
      let fields = $0.split(separator: " ")
      return fields.count > 9 && fields[1] == local && fields[3] == state && fields[9] != "0"
    }
  }

  @Test(
    "Connections that are idle, or trickle, hold few of the daemon's open files, and not for long",
    .timeLimit(.minutes(2)))
  func idleConnections() async throws {
    let (ports, listening) = AsyncStream.makeStream(of: Int.self)
    let server = MetricsServer(
      address: Endpoint("127.0.0.1:0")!, registry: PrometheusRegistry(), node: NodeCounts(),
      status: { nil }, logger: Logger(label: "test"), requestTime: .milliseconds(500),
      listening: { listening.yield($0) })
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await server.run() }
      var iterator = ports.makeAsyncIterator()
      let port = try #require(await iterator.next())
      #expect(try sockets(on: port, state: "0A") == 1)
      var idle: [any Channel] = []
      for index in 0..<40 {
        let channel = try await connect(to: port, nil)
        if index.isMultiple(of: 2) { trickle(to: channel) }
        idle.append(channel)
      }
      // On a machine with no time to spare the answer itself may come too late: then once more.
      async let lastAnswer = firstAnswer(from: port)
      var counts = [try sockets(on: port, state: "01")]
      for channel in idle {
        try await channel.closeFuture.get()
        counts.append(try sockets(on: port, state: "01"))
      }
      #expect(counts.allSatisfy { $0 <= MetricsServer.clientLimit })
      let all = try await lastAnswer
      #expect(all.hasPrefix("HTTP/1.1 200"))
      #expect(all.contains("Connection: close"))
      tasks.cancelAll()
    }
  }

  @Test("The daemon runs once the last of its parts listens, and is told so once")
  func beginning() {
    let count = Mutex(0)
    let beginning = Beginning(of: 2) { count.withLock { $0 += 1 } }
    beginning.hasBegun()
    #expect(count.withLock { $0 } == 0)
    for _ in 0..<2 { beginning.hasBegun() }
    #expect(count.withLock { $0 } == 1)
  }

  /// Sends a request that never ends, a byte at a time, well within what counts as idle.
  private func trickle(to channel: any Channel) {
    let head = ByteBuffer(string: "GET /health HTTP/1.1\r\nHost: a\r\nX: ")
    channel.writeAndFlush(head, promise: nil)
    channel.eventLoop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(20)) { task in
      guard channel.isActive else { return task.cancel() }
      channel.writeAndFlush(ByteBuffer(string: "x"), promise: nil)
    }
  }

  @Test("Of two scrapes at once the older count may come last: neither is counted twice")
  func scrapesAtOnce() {
    let registry = PrometheusRegistry()
    let counts = NodeCounts(factory: registry)
    for rekeys in [5, 9, 7, 9, 10] as [UInt64] {
      var counters = NodeCounters()
      counters.rekeys = rekeys
      counts.take(counters)
    }
    #expect(registry.render().split(separator: "\n").contains("shadowmesh_rekeys_total 10"))
  }

  @Test("What the node counts of moves and records is in /metrics, each under its own name")
  func countsOfTheNode() {
    let registry = PrometheusRegistry()
    var counters = NodeCounters()
    counters.peersMoved = 3
    counters.recordsPushed = 4
    counters.recordsRefused = 5
    counters.privatePartsDropped = 6
    NodeCounts(factory: registry).take(counters)
    let lines = registry.render().split(separator: "\n").filter { $0.hasPrefix("shadowmesh_") }
    for line in [
      "shadowmesh_peers_moved_total 3", "shadowmesh_records_pushed_total 4",
      "shadowmesh_records_refused_total 5", "shadowmesh_private_parts_dropped_total 6",
    ] as [Substring] { #expect(lines.contains(line)) }
  }

  @Test("Sessions through relays are told by how many relays there are, and why")
  func relayedSessions() throws {
    let registry = PrometheusRegistry()
    let path = PathStatus(
      kind: .relayed, hops: 2, endpoint: try #require(Endpoint("127.0.0.1:9")), reason: "", payload: 1_232,
      obstacle: .symmetricBoth)
    NodeCounts(factory: registry).take([path, path])
    let name = #"shadowmesh_relayed_sessions{hops="2",reason="symmetric NAT on both sides"} 2"#
    #expect(registry.render().split(separator: "\n").contains { $0.hasPrefix(name) })
  }

  private func firstAnswer(from port: Int) async throws -> String {
    var all = ""
    while all.isEmpty { all = try await answer(from: port) }
    return all
  }

  private func answer(from port: Int) async throws -> String {
    let (texts, answer) = AsyncStream.makeStream(of: String.self)
    let channel = try await connect(to: port, answer)
    channel.writeAndFlush(ByteBuffer(string: "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"), promise: nil)
    var all = ""
    for await text in texts { all += text }
    return all
  }

  private func connect(
    to port: Int, _ answer: AsyncStream<String>.Continuation?
  ) async throws -> any Channel {
    try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          if let answer { try channel.pipeline.syncOperations.addHandler(Reading(answer)) }
        }
      }
      .connect(host: "127.0.0.1", port: port).get()
  }

  /// Hands on what comes, until the connection ends.
  private final class Reading: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let answer: AsyncStream<String>.Continuation
    init(_ answer: AsyncStream<String>.Continuation) { self.answer = answer }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      answer.yield(String(buffer: unwrapInboundIn(data)))
    }
    func channelInactive(context: ChannelHandlerContext) { answer.finish() }
  }
}
