/// An HTTP request to the gateway that the shell is to make: no redirects followed, no cookies, no proxy, one
/// connection.
public struct GatewayRequest: Hashable, Sendable {
  /// A longer answer counts as none, in bytes.
  public static let answerLimit = MarkupReader.longestDocument
  /// How long an answer may take as a whole.
  public static let patience: Duration = .seconds(3)

  /// What is sent.
  public enum Kind: Hashable, Sendable {
    case get
    /// `text/xml; charset="utf-8"`, with the header SOAPAction as it is here, quotes included.
    case post(soapAction: String, body: [UInt8])
  }

  /// Unique in the life of a ``PortMapping``.
  public let number: UInt32
  public let url: GatewayURL
  public let kind: Kind
}

/// What came of a ``GatewayRequest``.
public enum GatewayAnswer: Hashable, Sendable {
  case answered(status: Int, body: [UInt8])
  /// No connection, no answer in time, or one over the limit.
  case failed
}
