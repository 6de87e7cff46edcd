import BackboneAPI
import Foundation
import HTTPTypes
import Hummingbird
import MeshWire
import NIOCore
import NIOFoundationCompat
import Observability

/// The HTTP side: decodes requests, hands them to the registry, encodes answers, and turns whatever went
/// wrong into problem+json.
///
/// The paths are few and fixed, so they are looked up in ``Route`` rather than in a router's tree.
struct RegistryResponder: HTTPResponder {
  let registry: Registry
  let prometheus: PrometheusRegistry

  func respond(to request: Request, context: HTTPContext) async throws -> Response {
    let start = ContinuousClock.now
    let target = RequestTarget(request.head.path ?? "")
    let route = Route(rawValue: String(target.path))
    var response: Response
    do {
      response = try await answer(route, request, target.query, context)
    } catch {
      response = errorResponse(for: error, context: context)
    }
    if request.method == .head { response.body = ResponseBody() }
    response.headers.append(Self.uncached)
    if let route { registry.metrics.record(ContinuousClock.now - start, of: route) }
    return response
  }

  private nonisolated(nonsending) func answer(
    _ route: Route?, _ request: Request, _ query: Substring?, _ context: HTTPContext
  ) async throws -> Response {
    guard let route else {
      try registry.admitStray(from: context.address)
      throw Refusal(.notFound)
    }
    guard request.method == route.method else {
      try registry.admitStray(from: context.address)
      throw Refusal(.methodNotAllowed, allow: route.method.rawValue)
    }
    switch route {
    case .challenge:
      try registry.admitLogin(from: context.address)
      return Self.json(ByteBuffer(string: registry.challenge().json))
    case .verify:
      try registry.admitLogin(from: context.address)
      let login = try VerifyRequest(json: try await Self.body(of: request, upTo: MessageLimit.login))
      return Self.json(ByteBuffer(bytes: try await registry.logIn(login)))
    case .lookUp:
      let session = try await session(request, context)
      let peer = try Self.peer(in: query)
      return Self.json(ByteBuffer(bytes: try await registry.lookUp(peer, for: session.peer)))
    case .record:
      let session = try await session(request, context)
      let message = try RecordMessage(json: try await Self.body(of: request, upTo: MessageLimit.record))
      try await registry.publish(message.record, by: session.peer, from: context.address)
      return Response(status: .noContent)
    case .relays:
      let session = try await session(request, context)
      let wanted = try RelayQuery(query)
      return Self.json(
        ByteBuffer(
          bytes: try await registry.relays(near: wanted.region, limit: wanted.limit, for: session.peer)))
    case .health: return Self.status("ok")
    case .ready:
      try registry.admitStray(from: context.address)
      try await registry.checkReadiness()
      return Self.status("ready")
    case .metrics:
      try registry.admitStray(from: context.address)
      return Response(
        status: .ok, headers: [.contentType: PrometheusRegistry.contentType],
        body: ResponseBody(byteBuffer: ByteBuffer(string: prometheus.render())))
    case .openAPI:
      try registry.admitStray(from: context.address)
      return Self.json(ByteBuffer(string: OpenAPIDocument.json))
    }
  }

  private static let uncached = HTTPField(name: .cacheControl, value: "no-store")

  private static func peer(in query: Substring?) throws -> PeerID {
    let name = "peer_id=".utf8
    guard let text = query?.utf8, text.starts(with: name),
      let peer = PeerID(hex: String(Substring(text.dropFirst(name.count))))
    else {
      throw Refusal(.malformedRequest, detail: "peer_id must be given once, as 40 hexadecimal digits")
    }
    return peer
  }

  /// The session of a request, counted against its peer; a request without one against its address.
  private nonisolated(nonsending) func session(
    _ request: Request, _ context: HTTPContext
  ) async throws -> Session {
    let session: Session
    do {
      session = try await registry.session(authorization: request.headers.only(.authorization))
    } catch {
      try registry.admitStray(from: context.address)
      throw error
    }
    try registry.admit(session.peer)
    return session
  }

  /// Reads a JSON body of at most `limit` bytes.
  private static func body(of request: Request, upTo limit: Int) async throws -> [UInt8] {
    let type = request.headers[.contentType] ?? ""
    guard type == "application/json" || type.lowercased().hasPrefix("application/json;") else {
      throw Refusal(.unsupportedMediaType)
    }
    if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > limit {
      throw Refusal(.bodyTooLarge)
    }
    return Array(buffer: try await request.body.collect(upTo: limit))
  }

  private static func json(_ body: ByteBuffer) -> Response {
    Response(
      status: .ok, headers: [.contentType: "application/json"], body: ResponseBody(byteBuffer: body))
  }

  private static func status(_ word: String) -> Response {
    json(ByteBuffer(string: "{\"status\":\"\(word)\"}"))
  }
}

/// The path and the query of a request (RFC 9112 §3.2.1), as they came: nothing that is served here needs
/// percent-encoding.
struct RequestTarget {
  let path: Substring
  let query: Substring?

  init(_ text: String) {
    let mark = text.utf8.firstIndex(of: UInt8(ascii: "?"))
    path = text[..<(mark ?? text.endIndex)]
    query = mark.map { text[text.utf8.index(after: $0)...] }
  }
}

extension HTTPFields {
  /// The value of a field that came once; `nil` when it didn't come, or more than once.
  fileprivate func only(_ name: HTTPField.Name) -> String? {
    var value: String?
    for field in self where field.name == name {
      guard value == nil else { return nil }
      value = field.value
    }
    return value
  }
}

extension Route {
  /// The one method that it takes.
  var method: HTTPRequest.Method {
    switch self {
    case .verify: .post
    case .record: .put
    default: .get
    }
  }
}
