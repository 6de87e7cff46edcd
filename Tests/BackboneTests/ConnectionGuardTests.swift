import BackboneAPI
import HTTPTypes
import MeshWire
import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOHTTPTypes
import Observability
import Testing

@testable import Backbone

/// The guard alone, in a pipeline without a socket whose clock the test moves.
@Suite("Connection guard") struct ConnectionGuardTests {
  struct Connection {
    let prometheus = PrometheusRegistry()
    let tally: ConnectionTally
    let channel: EmbeddedChannel

    init(
      limit: Int = 100, others: Int = 0, othersFrom neighbour: String = "127.0.0.1",
      from address: String = "127.0.0.1"
    ) throws {
      tally = ConnectionTally(limit: limit, factory: prometheus)
      for _ in 0..<others { _ = tally.opened(from: IPAddress(neighbour)) }
      channel = EmbeddedChannel()
      channel.remoteAddress = try SocketAddress(ipAddress: address, port: 1)
      try channel.pipeline.syncOperations.addHandler(ConnectionGuard(tally: tally))
      try channel.connect(to: SocketAddress(ipAddress: address, port: 1)).wait()
    }

    func advance(_ seconds: Int64) { channel.embeddedEventLoop.advanceTime(by: .seconds(seconds)) }

    func begin(length: String? = nil, expect: String? = nil) throws {
      var fields = HTTPFields()
      fields[.contentLength] = length
      fields[.expect] = expect
      let request = HTTPRequest(
        method: .post, scheme: "http", authority: "x", path: "/", headerFields: fields)
      try channel.writeInbound(HTTPRequestPart.head(request))
    }

    func body(_ count: Int) throws {
      try channel.writeInbound(HTTPRequestPart.body(ByteBuffer(repeating: 0x61, count: count)))
    }

    func end() throws { try channel.writeInbound(HTTPRequestPart.end(nil)) }

    func answer() throws {
      try channel.writeOutbound(HTTPResponsePart.head(HTTPResponse(status: .ok)))
      try channel.writeOutbound(HTTPResponsePart.end(nil))
    }

    /// The next head on its way to the client.
    func nextHead() throws -> HTTPResponse? {
      while let part = try channel.readOutbound(as: HTTPResponsePart.self) {
        if case .head(let head) = part { return head }
      }
      return nil
    }

    func ended(_ reason: ConnectionTally.Reason) -> Bool {
      prometheus.render().contains("connections_ended_total{reason=\"\(reason.rawValue)\"} 1\n")
    }

    func passedOn() throws -> Int {
      var count = 0
      while try channel.readInbound(as: HTTPRequestPart.self) != nil { count += 1 }
      return count
    }
  }

  @Test func `a connection that asks for nothing is closed after a minute`() throws {
    let connection = try Connection()
    connection.advance(59)
    #expect(connection.channel.isActive)
    connection.advance(1)
    #expect(!connection.channel.isActive)
    #expect(connection.ended(.idle))
  }

  @Test func `an idle connection makes room sooner when three quarters are taken`() throws {
    let connection = try Connection(limit: 4, others: 3)
    connection.advance(5)
    #expect(!connection.channel.isActive)
    #expect(connection.ended(.idle))
    let roomy = try Connection(limit: 8, others: 3)
    roomy.advance(5)
    #expect(roomy.channel.isActive)
  }

  @Test func `a minute begins anew with each answer`() throws {
    let connection = try Connection()
    for _ in 0..<3 {
      connection.advance(50)
      try connection.begin()
      try connection.end()
      try connection.answer()
    }
    #expect(connection.channel.isActive)
    #expect(try connection.nextHead()?.headerFields[.connection] == nil)
    connection.advance(60)
    #expect(!connection.channel.isActive)
  }

  @Test func `a body that trickles in is given up after half a minute, and answered`() throws {
    let connection = try Connection()
    try connection.begin(length: "20")
    for _ in 0..<29 {
      connection.advance(1)
      try connection.body(0)
    }
    try connection.channel.throwIfErrorCaught()
    connection.advance(1)
    #expect(throws: Refusal(.requestTimeout)) { try connection.channel.throwIfErrorCaught() }
    #expect(connection.ended(.slowBody))
    try connection.answer()
    #expect(try connection.nextHead()?.headerFields[.connection] == "close")
    connection.advance(5)
    #expect(!connection.channel.isActive)
  }

  @Test func `an answer to a body that is far from whole is the last, and the rest is thrown away`() throws {
    for length in ["9000000000000000000", nil] {
      let connection = try Connection()
      try connection.begin(length: length)
      try connection.answer()
      #expect(try connection.nextHead()?.headerFields[.connection] == "close")
      #expect(try connection.passedOn() == 1)
      try connection.body(100)
      try connection.begin()
      #expect(try connection.passedOn() == 0)
      connection.advance(5)
      #expect(!connection.channel.isActive)
    }
  }

  @Test func `a short rest of a body is waited for, and the connection goes on`() throws {
    let connection = try Connection()
    try connection.begin(length: "20")
    try connection.answer()
    #expect(try connection.nextHead()?.headerFields[.connection] == nil)
    connection.advance(4)
    try connection.body(20)
    try connection.end()
    try connection.begin()
    #expect(try connection.passedOn() == 4)
    #expect(connection.channel.isActive)
    let slow = try Connection()
    try slow.begin(length: "20")
    try slow.answer()
    slow.advance(5)
    #expect(!slow.channel.isActive)
    #expect(slow.ended(.slowBody))
  }

  @Test func `an answer that isn't taken ends the connection after a minute`() throws {
    let connection = try Connection()
    try connection.begin()
    try connection.end()
    connection.advance(60)
    #expect(!connection.channel.isActive)
    #expect(connection.ended(.slowReader))
  }

  @Test func `a client that doesn't take its answer holds a backbone that stops for two seconds`() throws {
    let connection = try Connection()
    try connection.begin()
    try connection.end()
    connection.advance(10)
    connection.channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
    connection.advance(1)
    #expect(connection.channel.isActive)
    connection.advance(1)
    #expect(!connection.channel.isActive)
  }

  @Test func `what isn't HTTP is answered in its turn, once`() throws {
    let connection = try Connection()
    try connection.begin()
    try connection.end()
    connection.channel.pipeline.fireErrorCaught(HTTPParserError.invalidMethod)
    #expect(try connection.nextHead() == nil)
    try connection.answer()
    #expect(try connection.nextHead()?.status == .ok)
    connection.channel.pipeline.fireErrorCaught(HTTPParserError.invalidMethod)
    let late = try Connection()
    late.channel.pipeline.fireErrorCaught(HTTPParserError.headerOverflow)
    #expect(try late.nextHead()?.status.code == 431)
    #expect(late.ended(.headersTooLarge))
    late.advance(5)
    #expect(!late.channel.isActive)
  }

  @Test func `a client that waits to be asked for its body is asked`() throws {
    let connection = try Connection()
    try connection.begin(length: "2", expect: "100-Continue")
    #expect(try connection.nextHead()?.status == .continue)
    try connection.body(2)
    try connection.end()
    try connection.answer()
    let head = try connection.nextHead()
    #expect(head?.status == .ok)
    #expect(head?.headerFields[.connection] == nil)
  }

  @Test(arguments: [
    ("192.0.2.1", "192.0.2.200", true), ("192.0.2.1", "192.0.3.1", false),
    ("192.0.2.1", "::ffff:192.0.2.7", true), ("2001:db8:0:1::1", "2001:db8:0:2::1", true),
    ("2001:db8:0:1::1", "2001:db8:0:101::1", false), ("127.0.0.1", "127.0.0.1", false), ("::1", "::1", false),
  ])
  func `one prefix has at most its share of the connections`(
    neighbour: String, address: String, isSurplus: Bool
  ) throws {
    let fair = try Connection(limit: 640, others: 19, othersFrom: neighbour, from: address)
    #expect(fair.channel.isActive)
    let connection = try Connection(limit: 640, others: 20, othersFrom: neighbour, from: address)
    #expect(connection.channel.isActive != isSurplus)
    #expect(connection.ended(.crowdedPrefix) == isSurplus)
  }

  @Test func `a connection that has closed makes room for its prefix, and a small limit leaves sixteen`() {
    let tally = ConnectionTally(limit: 100, factory: PrometheusRegistry())
    let address = IPAddress("192.0.2.1")
    for _ in 0..<16 { #expect(tally.opened(from: address)) }
    #expect(!tally.opened(from: address))
    for _ in 0..<2 { tally.closed(from: address) }
    #expect(tally.opened(from: address))
    #expect(!tally.opened(from: address))
  }

  @Test func `connections never need more files than the process may open`() {
    #expect(OpenFiles.connections(forEachOf: 1, openFiles: 20_000, upTo: 4_096) == 4_096)
    #expect(OpenFiles.connections(forEachOf: 2, openFiles: 1_064, upTo: 4_096) == 500)
    #expect(OpenFiles.connections(forEachOf: 1, openFiles: 10, upTo: 4_096) == 1)
  }
}
