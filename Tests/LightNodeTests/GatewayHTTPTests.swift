import MeshWire
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import LightNode
@testable import MeshPaths

@Suite("HTTP to the gateway", .timeLimit(.minutes(1)))
struct GatewayHTTPTests {
  /// Asks a server that says `answer`, whatever it hears; returns that too.
  private func exchange(
    _ answer: String, _ kind: GatewayRequest.Kind = .get
  ) async throws -> (answer: GatewayAnswer, heard: String) {
    let notes = Notes()
    let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Parrot(answer: answer, notes: notes))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    let http = GatewayHTTP()
    let port = try #require(server.localAddress?.port)
    let url = try #require(GatewayURL("http://127.0.0.1:\(port)/a.xml", on: .v4(0x7f00_0001)))
    let result = await http.answer(to: GatewayRequest(number: 1, url: url, kind: kind))
    await http.shutdown()
    try await server.close()
    return (result, notes.text)
  }

  @Test("An answer comes with its status and body")
  func answered() async throws {
    let (answer, heard) = try await exchange("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<a/>")
    #expect(answer == .answered(status: 200, body: Array("<a/>".utf8)))
    #expect(heard.hasPrefix("GET /a.xml HTTP/1.1\r\n"))
  }

  @Test("An action is posted with its header")
  func posted() async throws {
    let kind = GatewayRequest.Kind.post(soapAction: "\"urn:x#Add\"", body: Array("<b/>".utf8))
    let (answer, heard) = try await exchange("HTTP/1.1 500 Fault\r\nContent-Length: 0\r\n\r\n", kind)
    #expect(answer == .answered(status: 500, body: []))
    #expect(heard.hasPrefix("POST /a.xml HTTP/1.1\r\n") && heard.contains("SOAPAction: \"urn:x#Add\"\r\n"))
    #expect(heard.lowercased().contains("content-length: 4\r\n"))
  }

  @Test("A redirect is not followed")
  func redirect() async throws {
    let (answer, _) = try await exchange(
      "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n")
    #expect(answer == .answered(status: 302, body: []))
  }

  @Test("A body over 64 KiB is no answer, whether its length is told or not")
  func oversized() async throws {
    let body = String(repeating: "x", count: GatewayRequest.answerLimit + 1)
    let (told, _) = try await exchange("HTTP/1.1 200 OK\r\nContent-Length: \(body.count)\r\n\r\n\(body)")
    #expect(told == .failed)
    let (untold, _) = try await exchange("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\(body)")
    #expect(untold == .failed)
  }

  @Test("What isn't HTTP is no answer")
  func rubbish() async throws {
    let (answer, _) = try await exchange("rubbish\r\n\r\n")
    #expect(answer == .failed)
  }
}

/// What a server heard.
private final class Notes: Sendable {
  private let heard = Mutex("")
  var text: String { heard.withLock { $0 } }
  func take(_ text: String) { heard.withLock { $0 += text } }
}

/// Says one thing when the head of a request is there, and closes.
private final class Parrot: ChannelInboundHandler, Sendable {
  typealias InboundIn = ByteBuffer

  private let answer: String
  private let notes: Notes

  init(answer: String, notes: Notes) {
    self.answer = answer
    self.notes = notes
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    notes.take(String(buffer: unwrapInboundIn(data)))
    guard notes.text.contains("\r\n\r\n") else { return }
    let channel = context.channel
    channel.writeAndFlush(ByteBuffer(string: answer)).whenComplete { _ in channel.close(promise: nil) }
  }
}
