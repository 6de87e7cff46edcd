/// Why a request to the backbone failed, in words for the person who runs the node.
public enum BackboneClientError: Error, Hashable, Sendable {
  case badURL(String)
  case plainHTTPRefused(String)
  case badCAFile(String, reason: String)
  /// The configuration lacks `backbone_key`.
  case backboneKeyMissing
  /// No connection, no answer in time, or TLS failed.
  case unreachable(url: String, reason: String)
  /// The token is no longer good: log in again.
  case tokenRefused
  /// The backbone refused the login, for whatever reason.
  case loginRefused(String)
  /// Any other error that the backbone answered with.
  case refused(Problem)
  /// Asked to wait: too many requests, or overload.
  case busy(retryAfterSeconds: Int)
  /// The answer isn't what the protocol says.
  case badAnswer(String)
  /// The node list isn't signed by the key that `backbone_key` names.
  case wrongBackbone
  /// The clocks are further apart than a login, or a record, could bear.
  case clocksApart(hours: Int)
  /// This node's own key failed to sign.
  case keyUnavailable
}

extension BackboneClientError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .badURL(let url):
      "backbone_url \"\(url)\" is not an http:// or https:// address without a path"
    case .plainHTTPRefused(let url):
      "\(url) is not encrypted: use https://, or set allow_plain_http: true if the network between is yours"
    case .clocksApart(let hours):
      "the backbone's clock and this machine's are \(hours.magnitude) hours apart: set this machine's clock"
    case .badCAFile(let path, let reason): "the CA file \(path) cannot be used: \(reason)"
    case .backboneKeyMissing:
      "backbone_key is missing: paste the line that the backbone prints when it starts"
    case .unreachable(let url, let reason): "no answer from the backbone at \(url): \(reason)"
    case .tokenRefused: "the session token is no longer accepted: log in again"
    case .loginRefused(let detail):
      """
      the backbone refused the login (\(detail)): check backbone_url, region and backbone_key, and whether \
      it admits this node
      """
    case .refused(let problem): "the backbone refused: \(problem.detail ?? problem.title)"
    case .busy(let seconds): "the backbone is busy: try again in \(seconds) s"
    case .badAnswer(let reason): "the backbone's answer makes no sense: \(reason)"
    case .wrongBackbone:
      "the node list is not signed by backbone_key: a wrong key in the configuration, or another backbone"
    case .keyUnavailable: "this node's key could not sign"
    }
  }
}
