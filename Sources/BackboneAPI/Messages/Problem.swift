/// An error as RFC 9457 has it, sent as `application/problem+json`.
public struct Problem: Codable, Hashable, Sendable {
  /// `urn:shadowmesh:problem:` and the ``Kind``.
  public let type: String
  /// The kind in a few words, always the same for one kind.
  public let title: String
  /// The HTTP status.
  public let status: Int
  /// What happened this time, for a person.
  public let detail: String?

  public static let contentType = "application/problem+json"

  public init(_ kind: Kind, detail: String? = nil) {
    type = "urn:shadowmesh:problem:" + kind.rawValue
    title = kind.title
    status = kind.status
    self.detail = detail
  }

  /// The kind that ``type`` names, if it is one of ours.
  public var kind: Kind? {
    let prefix = "urn:shadowmesh:problem:"
    return type.hasPrefix(prefix) ? Kind(rawValue: String(type.dropFirst(prefix.count))) : nil
  }

  /// Every error that a backbone answers with.
  public enum Kind: String, CaseIterable, Sendable {
    case malformedRequest = "malformed-request"
    case challengeRefused = "challenge-refused"
    case loginRefused = "login-refused"
    case tokenRefused = "token-refused"
    case notOwner = "not-owner"
    case notFound = "not-found"
    case peerNotFound = "peer-not-found"
    case methodNotAllowed = "method-not-allowed"
    case requestTimeout = "request-timeout"
    case sequenceTooLow = "sequence-too-low"
    case sequenceReused = "sequence-reused"
    case peerIDTaken = "peer-id-taken"
    case bodyTooLarge = "body-too-large"
    case unsupportedMediaType = "unsupported-media-type"
    case recordRefused = "record-refused"
    case headersTooLarge = "headers-too-large"
    case rateLimited = "rate-limited"
    case internalError = "internal-error"
    case overloaded = "overloaded"
    case storeUnavailable = "store-unavailable"

    /// The HTTP status that goes with it.
    public var status: Int {
      switch self {
      case .malformedRequest: 400
      case .challengeRefused, .loginRefused, .tokenRefused: 401
      case .notOwner: 403
      case .notFound, .peerNotFound: 404
      case .methodNotAllowed: 405
      case .requestTimeout: 408
      case .sequenceTooLow, .sequenceReused, .peerIDTaken: 409
      case .bodyTooLarge: 413
      case .unsupportedMediaType: 415
      case .recordRefused: 422
      case .rateLimited: 429
      case .headersTooLarge: 431
      case .internalError: 500
      case .overloaded, .storeUnavailable: 503
      }
    }

    var title: String {
      switch self {
      case .malformedRequest: "The request could not be read"
      case .challengeRefused: "The challenge is not one of ours, or expired"
      case .loginRefused: "Login refused"
      case .tokenRefused: "A valid session token is needed"
      case .notOwner: "Only its owner may publish a record"
      case .notFound: "Nothing is served at this path"
      case .peerNotFound: "No record of this peer"
      case .methodNotAllowed: "This path doesn't take this method"
      case .requestTimeout: "The request took too long to arrive"
      case .sequenceTooLow: "A record with a higher sequence is stored"
      case .sequenceReused: "Another record with this sequence is stored"
      case .peerIDTaken: "Another key with this PeerID is stored"
      case .bodyTooLarge: "The body is too large"
      case .unsupportedMediaType: "The body must be application/json"
      case .recordRefused: "The record is not valid"
      case .headersTooLarge: "The header fields are too large"
      case .rateLimited: "Too many requests"
      case .internalError: "The backbone failed"
      case .overloaded: "The backbone is busy"
      case .storeUnavailable: "The backbone cannot store or read records"
      }
    }
  }
}
