import BackboneAPI

/// An answer that is an error, with the header fields that go with it.
struct Refusal: Error, Hashable, Sendable {
  let problem: Problem
  /// Seconds, for `Retry-After`.
  var retryAfter: Int?
  /// Methods, for `Allow`.
  var allow: String?

  init(_ kind: Problem.Kind, detail: String? = nil, retryAfter: Int? = nil, allow: String? = nil) {
    self.init(Problem(kind, detail: detail), retryAfter: retryAfter, allow: allow)
  }

  init(_ problem: Problem, retryAfter: Int? = nil, allow: String? = nil) {
    self.problem = problem
    self.retryAfter = retryAfter
    self.allow = allow
  }
}
