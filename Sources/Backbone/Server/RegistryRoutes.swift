import BackboneAPI
import Foundation
import HTTPTypes
import Hummingbird
import MeshWire
import NIOCore
import NIOFoundationCompat
import Observability

/// The HTTP side: decodes requests, hands them to the registry, encodes answers.
struct RegistryRoutes: Sendable {
  let registry: Registry
  let prometheus: PrometheusRegistry

  func router() -> Router<HTTPContext> {
    let router = Router(context: HTTPContext.self)
    router.add(middleware: ProblemResponses(metrics: registry.metrics))
    for route in Route.allCases {
      router.on(RouterPath(route.rawValue), method: route.method) { request, context in
        try await answer(route, request, context)
      }
    }
    return router
  }

  private func answer(_ route: Route, _ request: Request, _ context: HTTPContext) async throws -> Response {
    switch route {
    case .challenge:
      try registry.admit(from: context.address)
      return Self.json(ByteBuffer(bytes: try JSONEncoder().encode(registry.challenge())))
    case .verify:
      try registry.admit(from: context.address)
      let login: VerifyRequest = try await Self.body(of: request, upTo: MessageLimit.login)
      return Self.json(ByteBuffer(bytes: try await registry.logIn(login)))
    case .lookUp: return try await lookUp(request, context)
    case .record:
      let session = try await session(request, context)
      let message: RecordMessage = try await Self.body(of: request, upTo: MessageLimit.record)
      try await registry.publish(message.record, by: session.peer)
      return Response(status: .noContent)
    case .health: return Self.status("ok")
    case .ready:
      try await registry.checkReadiness()
      return Self.status("ready")
    case .metrics:
      return Response(
        status: .ok, headers: [.contentType: PrometheusRegistry.contentType],
        body: ResponseBody(byteBuffer: ByteBuffer(string: prometheus.render())))
    case .openAPI: return Self.json(ByteBuffer(string: OpenAPIDocument.json))
    }
  }

  private func lookUp(_ request: Request, _ context: HTTPContext) async throws -> Response {
    let session = try await session(request, context)
    let query = request.uri.queryParameters
    guard query.count == 1, let digits = query["peer_id"], let peer = PeerID(hex: String(digits)) else {
      throw Refusal(.malformedRequest, detail: "peer_id must be given once, as 40 hexadecimal digits")
    }
    let bundle = try await registry.lookUp(peer, for: session.peer)
    return Self.json(ByteBuffer(string: "{\"record\":\"\(Base64.encode(bundle))\"}"))
  }

  /// The session of a request, counted against its peer; a request without one against its address.
  private func session(_ request: Request, _ context: HTTPContext) async throws -> Session {
    let session: Session
    do {
      session = try await registry.session(authorization: request.headers[.authorization])
    } catch {
      try registry.admit(from: context.address)
      throw error
    }
    try registry.admit(session.peer)
    return session
  }

  /// Reads a JSON body of at most `limit` bytes.
  private static func body<Message: Decodable>(of request: Request, upTo limit: Int) async throws -> Message {
    let type = request.headers[.contentType]?.lowercased() ?? ""
    guard type == "application/json" || type.hasPrefix("application/json;") else {
      throw Refusal(.unsupportedMediaType)
    }
    if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > limit {
      throw Refusal(.bodyTooLarge)
    }
    let buffer = try await request.body.collect(upTo: limit)
    return try JSONDecoder().decode(Message.self, from: Data(buffer: buffer))
  }

  private static func json(_ body: ByteBuffer) -> Response {
    Response(
      status: .ok, headers: [.contentType: "application/json"], body: ResponseBody(byteBuffer: body))
  }

  private static func status(_ word: String) -> Response {
    json(ByteBuffer(string: "{\"status\":\"\(word)\"}"))
  }
}
