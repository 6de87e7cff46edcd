import MeshWire
import Metrics
import MetricsTestKit
import NIOCore
import Synchronization
import Testing

@testable import NodeHost

@Suite("TLS streams", .timeLimit(.minutes(1)))
struct TLSStreamsTests {
  /// A server on loopback that remembers.
  private struct Bench {
    let inbox = RecordingInbox()
    let metrics = TestMetrics()
    let server: TLSStreams
    let endpoint: Endpoint

    init(patience: StreamHandler.Patience = StreamHandler.Patience()) async throws {
      server = try await TLSStreams.make(inbox: inbox, metrics: metrics, patience: patience)
      endpoint = try await server.listen(TestCertificate.server())
    }

    func ended(_ reason: StreamMetrics.End) -> Int {
      let counter = try? metrics.expectCounter("shadowmesh.streams_ended", [("reason", reason.rawValue)])
      return Int(counter?.totalValue ?? 0)
    }
  }

  private let number = StreamNumber(number: 1)

  private func client(_ inbox: RecordingInbox) async throws -> TLSStreams {
    try await TLSStreams.make(inbox: inbox, metrics: NOOPMetricsHandler.instance)
  }

  @Test("datagrams go both ways, whole and in order, and both ends hear of the stream's end")
  func bothWays() async throws {
    let bench = try await Bench()
    let inbox = RecordingInbox()
    let client = try await client(inbox)
    client.open(number, to: bench.endpoint, certificate: TestCertificate.hash)
    await eventually { inbox.changes == [.opened(number)] }
    let sent = (1...60).map { [UInt8](repeating: UInt8($0), count: $0 * 24) }
    client.send(sent.map { StreamDatagram(stream: number, bytes: $0) })
    await eventually { bench.inbox.datagrams.count == sent.count }
    #expect(bench.inbox.datagrams.map(\.bytes) == sent)
    let accepted = bench.inbox.datagrams[0].stream
    #expect(accepted.number & StreamNumber.acceptedBit != 0 && bench.inbox.changes.isEmpty)
    bench.server.send(sent.map { StreamDatagram(stream: accepted, bytes: $0) })
    await eventually { inbox.datagrams.count == sent.count }
    #expect(inbox.datagrams == sent.map { StreamDatagram(stream: number, bytes: $0) })
    client.close(number)
    await eventually { inbox.changes.last == .closed(number) && bench.inbox.changes == [.closed(accepted)] }
    bench.server.stop()
  }

  @Test("a server that shows another certificate gets not a byte")
  func wrongCertificate() async throws {
    let bench = try await Bench()
    let inbox = RecordingInbox()
    let metrics = TestMetrics()
    let client = try await TLSStreams.make(inbox: inbox, metrics: metrics)
    client.open(
      number, to: bench.endpoint, certificate: TestCertificate.hash.dropLast() + [1])
    client.send([StreamDatagram(stream: number, bytes: [1, 2, 3])])
    await eventually { inbox.changes == [.closed(number)] }
    let counter = try metrics.expectCounter("shadowmesh.streams_ended", [("reason", "wrong_certificate")])
    #expect(counter.totalValue == 1)
    #expect(bench.inbox.datagrams.isEmpty)
    bench.server.stop()
  }

  @Test("nobody there, and a port where nobody speaks TLS: the stream is told to have ended")
  func nobody() async throws {
    let bench = try await Bench()
    bench.server.stop()
    let inbox = RecordingInbox()
    let client = try await client(inbox)
    client.open(number, to: Endpoint(.v4(0x7f00_0001), port: 1), certificate: TestCertificate.hash)
    await eventually { inbox.changes == [.closed(number)] }
  }

  @Test("who speaks no TLS, or says nothing, is gone when the handshake's time is over")
  func noHandshake() async throws {
    var patience = StreamHandler.Patience()
    patience.handshake = .milliseconds(200)
    let bench = try await Bench(patience: patience)
    let silent = try await RawClient.connect(to: bench.endpoint, tls: false)
    let garbage = try await RawClient.connect(to: bench.endpoint, tls: false)
    garbage.say(Array("GET / HTTP/1.1\r\n\r\n".utf8))
    await eventually {
      silent.isClosed.load(ordering: .relaxed) && garbage.isClosed.load(ordering: .relaxed)
    }
    await eventually { bench.ended(.handshake) == 2 }
    bench.server.stop()
  }

  @Test(
    "a length that no datagram has ends the stream at once", arguments: [[0, 0], [5, 173], [255, 255]])
  func badFrames(head: [UInt8]) async throws {
    let bench = try await Bench()
    let client = try await RawClient.connect(to: bench.endpoint)
    client.say([0, 1, 7] + head + [UInt8](repeating: 0, count: 2_000))
    await eventually { client.isClosed.load(ordering: .relaxed) }
    #expect(bench.inbox.datagrams.map(\.bytes) == [[7]])
    await eventually { bench.ended(.badFrame) == 1 }
    bench.server.stop()
  }

  @Test("a datagram that is begun and not finished ends the stream, and so does silence")
  func slow() async throws {
    var patience = StreamHandler.Patience()
    patience.frame = .milliseconds(200)
    let bench = try await Bench(patience: patience)
    let dripping = try await RawClient.connect(to: bench.endpoint)
    dripping.say([5])
    await eventually { bench.ended(.slow) == 1 }
    patience = StreamHandler.Patience()
    patience.frame = .milliseconds(100)
    patience.idle = .milliseconds(300)
    let other = try await Bench(patience: patience)
    let silent = try await RawClient.connect(to: other.endpoint)
    silent.say([0, 1, 9])
    await eventually { silent.isClosed.load(ordering: .relaxed) && other.ended(.idle) == 1 }
    bench.server.stop()
    other.server.stop()
  }

  @Test("one network has sixteen connections at most, and the next is refused until one ends")
  func crowded() async throws {
    let bench = try await Bench()
    var clients: [RawClient] = []
    for _ in 0..<StreamServer.limitOfPrefix {
      let client = try await RawClient.connect(to: bench.endpoint)
      client.say([0, 1, 9])
      clients.append(client)
    }
    await eventually { bench.inbox.datagrams.count == StreamServer.limitOfPrefix }
    #expect(Set(bench.inbox.datagrams.map(\.stream.origin)).count == 1)
    let surplus = try await RawClient.connect(to: bench.endpoint)
    await eventually { surplus.isClosed.load(ordering: .relaxed) }
    #expect(bench.ended(.crowded) == 1)
    clients[0].close()
    await eventually { bench.inbox.changes.count == 1 }
    let next = try await RawClient.connect(to: bench.endpoint)
    next.say([0, 1, 9])
    await eventually { bench.inbox.datagrams.count == StreamServer.limitOfPrefix + 1 }
    bench.server.stop()
  }

  @Test("what the loop has no room for, and what is for a stream that is gone, is counted")
  func counted() async throws {
    let bench = try await Bench()
    bench.inbox.setRoom(0)
    let client = try await RawClient.connect(to: bench.endpoint)
    client.say([0, 1, 9, 0, 1, 9, 0, 1, 9])
    func drops(_ reason: HostDrop) -> Int64 {
      (try? bench.metrics.expectCounter("shadowmesh.drops", [("reason", reason.rawValue)]).totalValue) ?? 0
    }
    await eventually { drops(.streamInboxFull) == 3 }
    bench.server.send([StreamDatagram(stream: number, bytes: [1])])
    await eventually { drops(.streamGone) == 1 }
    bench.server.stop()
  }

  @Test("the tally counts by network, and forgets who has left")
  func tally() {
    var tally = StreamTally()
    let one = IPAddress.v4(0x0102_0300)
    let first = (0...StreamServer.limitOfPrefix).map { _ in tally.opened(one) }
    #expect(first == Array(repeating: true, count: StreamServer.limitOfPrefix) + [false])
    tally.closed(one)
    let again = tally.opened(one)
    #expect(again)
    var all = StreamTally()
    let networks = (0...UInt32(StreamServer.limit)).map { all.opened(.v4($0 << 8)) }
    #expect(networks == Array(repeating: true, count: StreamServer.limit) + [false])
  }
}
