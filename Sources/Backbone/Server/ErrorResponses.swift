import BackboneAPI
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import Metrics
import NIOCore

extension RegistryResponder {
  /// The answer to a request that went wrong.
  func errorResponse(for error: any Error, context: HTTPContext) -> Response {
    Self.response(for: refusal(for: error, context: context))
  }

  private func refusal(for error: any Error, context: HTTPContext) -> Refusal {
    switch error {
    case let refusal as Refusal:
      if refusal.problem.kind == .overloaded { registry.metrics.overloads.increment() }
      return refusal
    case let failure as StoreFailure:
      registry.metrics.storeFailures.increment()
      if registry.isNews(failure) {
        context.logger.error("store failed", metadata: ["reason": "\(failure)"])
      }
      return Refusal(.storeUnavailable, retryAfter: 30)
    case let error as MalformedMessage: return Refusal(.malformedRequest, detail: error.description)
    case is NIOTooManyBytesError: return Refusal(.bodyTooLarge)
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
