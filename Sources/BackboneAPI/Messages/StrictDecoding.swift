import MeshWire

/// A JSON key of any name, to see which ones a message really has.
struct AnyKey: CodingKey {
  let stringValue: String
  var intValue: Int? { nil }

  init(stringValue: String) { self.stringValue = stringValue }
  init?(intValue: Int) { nil }
}

extension Decoder {
  /// The container of a request's fields, after refusing any field that `Key` doesn't list.
  func strictContainer<Key: CodingKey & CaseIterable>(keyedBy type: Key.Type) throws
    -> KeyedDecodingContainer<Key>
  {
    let known = Set(Key.allCases.map(\.stringValue))
    for key in try container(keyedBy: AnyKey.self).allKeys where !known.contains(key.stringValue) {
      throw DecodingError.dataCorrupted(
        DecodingError.Context(codingPath: codingPath + [key], debugDescription: "unknown field"))
    }
    return try container(keyedBy: type)
  }
}

extension KeyedDecodingContainer {
  /// A text field of at most `limit` UTF-8 bytes.
  func text(_ key: Key, upTo limit: Int) throws -> String {
    let text = try decode(String.self, forKey: key)
    guard text.utf8.count <= limit else { throw badField(key, "longer than \(limit) bytes") }
    return text
  }

  /// Bytes in hexadecimal digits.
  func hexBytes(_ key: Key, upTo limit: Int) throws -> [UInt8] {
    guard let bytes = [UInt8](hex: try text(key, upTo: 2 * limit)) else {
      throw badField(key, "not an even number of hexadecimal digits")
    }
    return bytes
  }

  /// Bytes in base64 (RFC 4648 §4, with padding).
  func base64Bytes(_ key: Key, upTo limit: Int) throws -> [UInt8] {
    let text = try text(key, upTo: (limit + 2) / 3 * 4)
    guard let bytes = Base64.decode(text), bytes.count <= limit else {
      throw badField(key, "not base64 of at most \(limit) bytes")
    }
    return bytes
  }

  func badField(_ key: Key, _ problem: String) -> DecodingError {
    .dataCorrupted(DecodingError.Context(codingPath: codingPath + [key], debugDescription: problem))
  }
}
