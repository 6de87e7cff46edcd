import Foundation

/// The answer of `GET /api/peers/relays`: whole records, so that who builds a circuit asks once and needs no
/// look-up for each. Each is signed by its owner, and worth nothing before that is verified.
public struct RelayList: Decodable, Hashable, Sendable {
  /// The most that a backbone gives at once, and that a client reads.
  public static let maximumCount = 20
  /// What it gives unless it is asked for more or fewer.
  public static let defaultCount = 8

  /// Bundles of `docs/protocol/records.md` without private parts; base64 on the wire.
  public let relays: [[UInt8]]

  private struct Entry: Decodable {
    let record: [UInt8]

    enum CodingKeys: String, CodingKey { case record }

    init(from decoder: any Decoder) throws {
      record = try decoder.container(keyedBy: CodingKeys.self).base64Bytes(.record, upTo: MessageLimit.record)
    }
  }

  enum CodingKeys: String, CodingKey { case relays }

  public init(relays: [[UInt8]]) { self.relays = Array(relays.prefix(Self.maximumCount)) }

  public init(from decoder: any Decoder) throws {
    var entries = try decoder.container(keyedBy: CodingKeys.self).nestedUnkeyedContainer(forKey: .relays)
    var relays: [[UInt8]] = []
    while !entries.isAtEnd {
      guard relays.count < Self.maximumCount else {
        throw DecodingError.dataCorruptedError(
          in: entries, debugDescription: "more than \(Self.maximumCount) relays")
      }
      relays.append(try entries.decode(Entry.self).record)
    }
    self.relays = relays
  }

  /// As a body.
  public var json: [UInt8] {
    var body = Array(#"{"relays":["#.utf8)
    for (index, relay) in relays.enumerated() {
      if index > 0 { body.append(UInt8(ascii: ",")) }
      body += RecordMessage(record: relay).json
    }
    return body + Array("]}".utf8)
  }
}
