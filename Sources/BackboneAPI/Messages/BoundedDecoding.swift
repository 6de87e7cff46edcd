import MeshWire

extension KeyedDecodingContainer {
  /// A text field of at most `limit` UTF-8 bytes.
  func text(_ key: Key, upTo limit: Int) throws -> String {
    let text = try decode(String.self, forKey: key)
    guard text.utf8.count <= limit else { throw badField(key, "longer than \(limit) bytes") }
    return text
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
