public import Foundation

/// The framing: UTF-8 JSON with snake_case keys, one object a line, at most 64 KiB with its newline.
public enum ControlLine {
  /// Changes when an old program could misread a new one.
  public static let version = 1
  /// Most bytes of a line, newline included. A longer one ends the connection.
  public static let maximumLength = 65_536

  /// Encodes one line, newline included. Throws ``ControlFailure`` when it would be over the limit.
  public static func encode(_ envelope: ControlEnvelope<some Codable & Sendable>) throws -> Data {
    var line = try encoder(pretty: false).encode(envelope)
    line.append(10)
    guard line.count <= maximumLength else {
      throw ControlFailure(.badRequest, "the message is \(line.count) bytes; the limit is \(maximumLength)")
    }
    return line
  }

  /// Decodes one line (with or without its newline).
  ///
  /// Throws ``ControlFailure`` of kind `otherVersion` when the sender speaks another version, of kind
  /// `badRequest` for anything that is not an envelope of `Body`.
  public static func decode<Body: Codable & Sendable>(_ body: Body.Type, from line: Data)
    throws(ControlFailure) -> ControlEnvelope<Body>
  {
    guard line.count <= maximumLength else {
      throw ControlFailure(.badRequest, "a message over \(maximumLength) bytes")
    }
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = keyDecodingStrategy
    do {
      let version = try decoder.decode(VersionOnly.self, from: line).version
      guard version == Self.version else {
        throw ControlFailure(
          .otherVersion, "the other side speaks control version \(version), this one \(Self.version)",
          next: "install the same release of shadowmesh and shadowmesh-lightnode, and restart the daemon")
      }
      return try decoder.decode(ControlEnvelope<Body>.self, from: line)
    } catch let failure as ControlFailure {
      throw failure
    } catch let error as DecodingError {
      throw ControlFailure(.badRequest, "not a control message: \(reason(of: error))")
    } catch {
      throw ControlFailure(.badRequest, "not a control message")
    }
  }

  /// The encoder behind both the socket and `--json`: snake_case, sorted keys, no escaped slashes.
  public static func encoder(pretty: Bool) -> JSONEncoder {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    if pretty { encoder.outputFormatting.insert(.prettyPrinted) }
    return encoder
  }

  /// Reads the keys that ``encoder(pretty:)`` writes.
  public static var keyDecodingStrategy: JSONDecoder.KeyDecodingStrategy {
    .custom { path in ControlKey(stringValue: swiftName(of: path.last?.stringValue ?? "")) }
  }

  /// `peer_id` → `peerID`, `add_peer` → `addPeer`: what `.convertFromSnakeCase` does, with this code's
  /// initialisms.
  static func swiftName(of key: String) -> String {
    let parts = key.split(separator: "_", omittingEmptySubsequences: true)
    guard parts.count > 1, let first = parts.first else { return key }
    return parts.dropFirst().reduce(into: String(first)) { name, part in
      name += part == "id" ? "ID" : part.prefix(1).uppercased() + part.dropFirst()
    }
  }

  private static func reason(of error: DecodingError) -> String {
    switch error {
    case .keyNotFound(let key, _): "\(key.stringValue) is missing"
    case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
      (context.codingPath.map(\.stringValue).joined(separator: ".") + ": " + context.debugDescription)
    @unknown default: "unreadable"
    }
  }
}

private struct VersionOnly: Decodable { let version: Int }

private struct ControlKey: CodingKey {
  let stringValue: String
  var intValue: Int? { nil }
  init(stringValue: String) { self.stringValue = stringValue }
  init?(intValue: Int) { nil }
}
