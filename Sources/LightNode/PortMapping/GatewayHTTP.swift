import AsyncHTTPClient
import Daemon
import MeshPaths
import NIOCore
import NIOHTTP1

/// Asks the gateway over HTTP: where the core says, and nowhere else. No redirects, no TLS, no names.
struct GatewayHTTP: Sendable {
  private let client: HTTPClient

  init() {
    var settings = HTTPClient.Configuration(
      redirectConfiguration: .disallow, timeout: .init(connect: .seconds(2), read: .seconds(3)))
    settings.httpVersion = .http1Only
    settings.connectionPool.idleTimeout = .seconds(1)
    client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
  }

  /// Whatever goes wrong is ``GatewayAnswer/failed``.
  func answer(to request: GatewayRequest) async -> GatewayAnswer {
    let answer = try? await Daemon.answer(within: GatewayRequest.patience) { try await fetch(request) }
    return answer ?? .failed
  }

  func shutdown() async { try? await client.shutdown() }

  private func fetch(_ request: GatewayRequest) async throws -> GatewayAnswer {
    var call = HTTPClientRequest(url: request.url.text)
    call.headers.add(name: "Connection", value: "close")
    if case .post(let action, let body) = request.kind {
      call.method = .POST
      call.headers.add(name: "Content-Type", value: "text/xml; charset=\"utf-8\"")
      call.headers.add(name: "SOAPAction", value: action)
      call.body = .bytes(ByteBuffer(bytes: body))
    }
    let response = try await client.execute(call, timeout: .seconds(3))
    let body = try await response.body.collect(upTo: GatewayRequest.answerLimit)
    return .answered(status: Int(response.status.code), body: Array(body.readableBytesView))
  }
}
