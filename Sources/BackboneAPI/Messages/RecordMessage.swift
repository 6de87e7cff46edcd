/// A signed peer record on its way to the backbone (the body of `PUT /api/peers/record`) or from it (the
/// answer of `GET /api/peers/lookup`). Unknown fields are refused.
public struct RecordMessage: Codable, Hashable, Sendable {
  /// The bundle of `docs/protocol/records.md`; base64 on the wire.
  public let record: [UInt8]

  enum CodingKeys: String, CodingKey, CaseIterable { case record }

  public init(record: [UInt8]) { self.record = record }

  public init(from decoder: any Decoder) throws {
    let fields = try decoder.strictContainer(keyedBy: CodingKeys.self)
    record = try fields.base64Bytes(.record, upTo: MessageLimit.record)
  }

  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(Base64.encode(record), forKey: .record)
  }
}
