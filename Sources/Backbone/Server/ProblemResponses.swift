import BackboneAPI
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import MeshWire
import Metrics
import NIOCore

/// Turns whatever went wrong into problem+json, and marks every answer as not to be stored.
struct ProblemResponses: RouterMiddleware {
  typealias Context = HTTPContext

  let metrics: BackboneMetrics

  func handle(
    _ request: Request, context: HTTPContext,
    next: @concurrent (Request, HTTPContext) async throws -> Response
  ) async throws -> Response {
    let start = ContinuousClock.now
    var response: Response
    do {
      response = try await next(request, context)
    } catch {
      response = Self.response(for: refusal(for: error, request: request, context: context))
    }
    if request.method == .head { response.body = ResponseBody() }
    response.headers[.cacheControl] = "no-store"
    if let route = Route(rawValue: request.uri.path) {
      metrics.requestTimes[route]?.recordNanoseconds((ContinuousClock.now - start).wholeNanoseconds)
    }
    return response
  }

  private func refusal(for error: any Error, request: Request, context: HTTPContext) -> Refusal {
    switch error {
    case let refusal as Refusal:
      if refusal.problem.kind == .overloaded { metrics.overloads.increment() }
      return refusal
    case let failure as StoreFailure:
      metrics.storeFailures.increment()
      context.logger.error("store failed", metadata: ["reason": "\(failure)"])
      return Refusal(.storeUnavailable, retryAfter: 30)
    case is NIOTooManyBytesError: return Refusal(.bodyTooLarge)
    case let error as DecodingError: return Refusal(.malformedRequest, detail: error.fieldProblem)
    case let error as HTTPError where error.status == .notFound:
      guard let route = Route(rawValue: request.uri.path) else { return Refusal(.notFound) }
      return Refusal(.methodNotAllowed, allow: route.method.rawValue)
    case let error as any HTTPResponseError where error.status.code == 413: return Refusal(.bodyTooLarge)
    case let error as any HTTPResponseError where error.status.kind == .clientError:
      return Refusal(.malformedRequest)
    default:
      context.logger.error("request failed", metadata: ["error": "\(error)"])
      return Refusal(.internalError)
    }
  }

  static func response(for refusal: Refusal) -> Response {
    let problem = refusal.problem
    var headers: HTTPFields = [.contentType: Problem.contentType]
    if let seconds = refusal.retryAfter { headers[.retryAfter] = "\(seconds)" }
    if let methods = refusal.allow { headers[.allow] = methods }
    if problem.kind == .tokenRefused { headers[.wwwAuthenticate] = "Bearer" }
    return Response(
      status: HTTPResponse.Status(code: problem.status), headers: headers,
      body: ResponseBody(byteBuffer: body(of: problem)))
  }

  /// A problem as JSON.
  static func body(of problem: Problem) -> ByteBuffer {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return ByteBuffer(bytes: (try? encoder.encode(problem)) ?? Data())
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

extension DecodingError {
  /// Which field is wrong and how, without Swift's own words for it.
  var fieldProblem: String {
    func name(_ path: [any CodingKey]) -> String { path.map(\.stringValue).joined(separator: ".") }
    switch self {
    case .keyNotFound(let key, _): return "\(key.stringValue) is missing"
    case .typeMismatch(_, let context), .valueNotFound(_, let context):
      let field = name(context.codingPath)
      return field.isEmpty ? "the body is not a JSON object" : "\(field) has the wrong type"
    case .dataCorrupted(let context):
      let field = name(context.codingPath)
      return field.isEmpty ? "the body is not JSON" : "\(field): \(context.debugDescription)"
    @unknown default: return "the body cannot be read"
    }
  }
}
