import MeshWire

/// The fields of a JSON object whose values are all texts, as in every request of this API (RFC 8259).
///
/// Stricter than a general reader: a field that is unknown or stands twice is refused, as is anything after
/// the object. It reads a login's 10 KB in place, where a general reader took longer than the whole request.
struct TextFields<Name: CaseIterable & RawRepresentable & Hashable> where Name.RawValue == String {
  private let values: [Name: [UInt8]]

  /// Reads a whole body.
  init(_ json: [UInt8]) throws(MalformedMessage) {
    var scanner = JSONScanner(json)
    var values: [Name: [UInt8]] = [:]
    guard scanner.take(UInt8(ascii: "{")) else { throw .notAnObject }
    if !scanner.take(UInt8(ascii: "}")) {
      repeat {
        let key = String(decoding: try scanner.text(), as: UTF8.self)
        guard let name = Name(rawValue: key) else {
          throw MalformedMessage(field: String(key.prefix(64)), problem: "unknown field")
        }
        guard scanner.take(UInt8(ascii: ":")) else { throw .notJSON }
        guard scanner.isAtText else { throw MalformedMessage(field: key, problem: "not a text") }
        guard values.updateValue(try scanner.text(), forKey: name) == nil else {
          throw MalformedMessage(field: key, problem: "stands twice")
        }
      } while scanner.take(UInt8(ascii: ","))
      guard scanner.take(UInt8(ascii: "}")) else { throw .notJSON }
    }
    guard scanner.isAtEnd else { throw .notJSON }
    self.values = values
  }

  /// A text of at most `limit` UTF-8 bytes; `nil` when the field is left out.
  func text(_ name: Name, upTo limit: Int) throws(MalformedMessage) -> String? {
    guard let value = try bytes(name, upTo: limit) else { return nil }
    guard let text = String(validating: value, as: UTF8.self) else { throw bad(name, "not UTF-8") }
    return text
  }

  private func bytes(_ name: Name, upTo limit: Int) throws(MalformedMessage) -> [UInt8]? {
    guard let value = values[name] else { return nil }
    guard value.count <= limit else { throw bad(name, "longer than \(limit) bytes") }
    return value
  }

  /// Bytes in hexadecimal digits.
  func hexBytes(_ name: Name, upTo limit: Int) throws(MalformedMessage) -> [UInt8] {
    let digits = try required(name, upTo: 2 * limit)
    guard let bytes = [UInt8](hex: String(decoding: digits, as: UTF8.self)) else {
      throw bad(name, "not an even number of hexadecimal digits")
    }
    return bytes
  }

  /// Bytes in base64 (RFC 4648 §4, with padding).
  func base64Bytes(_ name: Name, upTo limit: Int) throws(MalformedMessage) -> [UInt8] {
    let characters = try required(name, upTo: (limit + 2) / 3 * 4)
    guard let bytes = Base64.decode(characters), bytes.count <= limit else {
      throw bad(name, "not base64 of at most \(limit) bytes")
    }
    return bytes
  }

  func bad(_ name: Name, _ problem: String) -> MalformedMessage {
    MalformedMessage(field: name.rawValue, problem: problem)
  }

  private func required(_ name: Name, upTo limit: Int) throws(MalformedMessage) -> [UInt8] {
    guard let value = try bytes(name, upTo: limit) else { throw bad(name, "missing") }
    return value
  }
}

/// What is wrong with a request's body, in words for its sender.
public struct MalformedMessage: Error, Hashable, Sendable, CustomStringConvertible {
  public let field: String?
  public let problem: String

  init(field: String?, problem: String) {
    self.field = field
    self.problem = problem
  }

  static let notJSON = MalformedMessage(field: nil, problem: "the body is not JSON")
  static let notAnObject = MalformedMessage(field: nil, problem: "the body is not a JSON object")

  public var description: String { field.map { "\($0): \(problem)" } ?? problem }
}

/// Walks over JSON text. Space between tokens is skipped.
private struct JSONScanner {
  private let bytes: [UInt8]
  private var index = 0

  init(_ bytes: [UInt8]) {
    self.bytes = bytes
    skipSpace()
  }

  var isAtEnd: Bool { index == bytes.count }
  var isAtText: Bool { index < bytes.count && bytes[index] == UInt8(ascii: "\"") }

  /// Steps over `token` if it stands here.
  mutating func take(_ token: UInt8) -> Bool {
    guard index < bytes.count, bytes[index] == token else { return false }
    index += 1
    skipSpace()
    return true
  }

  /// A string (RFC 8259 §7) as UTF-8, its escapes undone.
  mutating func text() throws(MalformedMessage) -> [UInt8] {
    guard isAtText else { throw .notJSON }
    let start = index + 1
    guard let end = bytes.span.firstInText(from: start) else { throw .notJSON }
    index = end
    switch bytes[end] {
    case UInt8(ascii: "\""):
      finish()
      return Array(bytes[start..<end])
    case UInt8(ascii: "\\"): return try escapedText(from: start)
    default: throw .notJSON
    }
  }

  /// The rest of a string in which an escape stands at `index`.
  private mutating func escapedText(from start: Int) throws(MalformedMessage) -> [UInt8] {
    var text = Array(bytes[start..<index])
    while bytes[index] == UInt8(ascii: "\\") {
      index += 1
      text += try escape()
      guard let end = bytes.span.firstInText(from: index) else { throw .notJSON }
      text += bytes[index..<end]
      index = end
    }
    guard bytes[index] == UInt8(ascii: "\"") else { throw .notJSON }
    finish()
    return text
  }

  /// What an escape stands for, from behind its backslash.
  private mutating func escape() throws(MalformedMessage) -> [UInt8] {
    guard index < bytes.count else { throw .notJSON }
    let letter = bytes[index]
    index += 1
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [letter]
    case UInt8(ascii: "b"): return [0x08]
    case UInt8(ascii: "f"): return [0x0c]
    case UInt8(ascii: "n"): return [0x0a]
    case UInt8(ascii: "r"): return [0x0d]
    case UInt8(ascii: "t"): return [0x09]
    case UInt8(ascii: "u"):
      var units = [try codeUnit()]
      if UTF16.isLeadSurrogate(units[0]) {
        guard bytes[index...].starts(with: #"\u"#.utf8) else { throw .notJSON }
        index += 2
        units.append(try codeUnit())
      }
      // Half of a pair stands for no character.
      guard let text = String(validating: units, as: UTF16.self) else { throw .notJSON }
      return Array(text.utf8)
    default: throw .notJSON
    }
  }

  /// Four hexadecimal digits: a code unit of UTF-16.
  private mutating func codeUnit() throws(MalformedMessage) -> UInt16 {
    guard index + 4 <= bytes.count,
      let code = [UInt8](hex: String(decoding: bytes[index..<(index + 4)], as: UTF8.self))
    else { throw .notJSON }
    index += 4
    return UInt16(code[0]) << 8 | UInt16(code[1])
  }

  /// Steps over the closing quote.
  private mutating func finish() {
    index += 1
    skipSpace()
  }

  private mutating func skipSpace() {
    while index < bytes.count {
      switch bytes[index] {
      case 0x20, 0x09, 0x0a, 0x0d: index += 1
      default: return
      }
    }
  }
}

extension Span<UInt8> {
  /// The first place from `start` on of a quote, a backslash or a control character.
  fileprivate func firstInText(from start: Int) -> Int? {
    var index = start
    while index < count {
      let byte = self[index]
      if byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { return index }
      index += 1
    }
    return nil
  }
}
