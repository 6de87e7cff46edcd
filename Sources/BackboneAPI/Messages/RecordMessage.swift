/// A signed peer record on its way to the backbone (the body of `PUT /api/peers/record`) or from it (the
/// answer of `GET /api/peers/lookup`). Unknown fields are refused.
public struct RecordMessage: Hashable, Sendable {
  /// The bundle of `docs/protocol/records.md`; base64 on the wire.
  public let record: [UInt8]

  private enum Field: String, CaseIterable { case record }

  public init(record: [UInt8]) { self.record = record }

  /// Reads a body.
  public init(json: [UInt8]) throws(MalformedMessage) {
    record = try TextFields<Field>(json).base64Bytes(.record, upTo: MessageLimit.record)
  }

  /// As a body.
  public var json: [UInt8] {
    Base64.characters(record, after: #"{"record":""#, before: #""}"#)
  }
}
