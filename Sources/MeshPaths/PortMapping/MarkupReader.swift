import MeshWire

/// Reads as much of XML 1.0 as UPnP's documents use: elements and their text, prefixes cut off. Comments,
/// declarations and attributes are passed over; a document type, and with it every entity but the five of XML
/// and numbers, is refused. Everything is bounded, whatever the document says.
struct MarkupReader {
  /// Of a document, in bytes.
  static let longestDocument = 65_536
  /// Of elements in each other.
  static let deepest = 32
  /// Of one element's text that is kept, in bytes.
  static let longestText = 1_024

  enum Event: Equatable {
    case start(String)
    /// The element's own text, without blanks at both ends; it is empty around inner elements.
    case end(String, text: String)
  }

  private let bytes: ArraySlice<UInt8>
  private var position: Int
  private var open: [String] = []
  private var text: [UInt8] = []
  private var pendingEnd: String?
  private var hasRoot = false

  init(_ bytes: ArraySlice<UInt8>) throws(DecodingFailure) {
    guard bytes.count <= Self.longestDocument else { throw .tooLarge }
    self.bytes = bytes
    position = bytes.startIndex
  }

  /// The names of the elements that are open, the outermost first.
  var path: [String] { open }

  /// The next event; `nil` at the end of a whole document.
  mutating func next() throws(DecodingFailure) -> Event? {
    if let name = pendingEnd {
      pendingEnd = nil
      return .end(name, text: "")
    }
    while position < bytes.endIndex {
      guard bytes[position] == UInt8(ascii: "<") else {
        try readText()
        continue
      }
      if skip("<!--") {
        try skip(past: "-->")
      } else if skip("<![CDATA[") {
        let start = position
        try skip(past: "]]>")
        try keep(bytes[start..<(position - 3)])
      } else if skip("<?") {
        try skip(past: "?>")
      } else if skip("<!") {
        throw .badValue
      } else if skip("</") {
        return try readEnd()
      } else {
        position += 1
        return try readStart()
      }
    }
    guard open.isEmpty, hasRoot else { throw .truncated }
    return nil
  }

  private mutating func readStart() throws(DecodingFailure) -> Event {
    let name = try readName()
    guard open.count < Self.deepest, !(open.isEmpty && hasRoot) else { throw .tooLarge }
    hasRoot = true
    // Attributes: a quoted value may hold anything but its quote.
    var quote: UInt8?
    var isEmptyElement = false
    while true {
      guard position < bytes.endIndex else { throw .truncated }
      let byte = bytes[position]
      position += 1
      if let open = quote {
        if byte == open { quote = nil }
        continue
      }
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "'"): quote = byte
      case UInt8(ascii: "<"): throw .badValue
      case UInt8(ascii: "/"): isEmptyElement = true
      case UInt8(ascii: ">"):
        text = []
        if isEmptyElement { pendingEnd = name } else { open.append(name) }
        return .start(name)
      default: isEmptyElement = false
      }
    }
  }

  private mutating func readEnd() throws(DecodingFailure) -> Event {
    let name = try readName()
    skipBlanks()
    guard skip(">"), open.popLast() == name else { throw .badValue }
    defer { text = [] }
    return .end(name, text: Self.trimmed(text))
  }

  /// A name without its prefix.
  private mutating func readName() throws(DecodingFailure) -> String {
    let start = position
    while position < bytes.endIndex, Self.isNameByte(bytes[position]) { position += 1 }
    let name = bytes[start..<position]
    guard (1...128).contains(name.count) else { throw .badValue }
    let local = name.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
    guard local.count <= 2, let last = local.last, !last.isEmpty else { throw .badValue }
    return String(decoding: last, as: UTF8.self)
  }

  private mutating func readText() throws(DecodingFailure) {
    let start = position
    while position < bytes.endIndex, bytes[position] != UInt8(ascii: "<") { position += 1 }
    let run = bytes[start..<position]
    guard run.contains(UInt8(ascii: "&")) else { return try keep(run) }
    try keep(Self.unescaped(run)[...])
  }

  private mutating func keep(_ run: ArraySlice<UInt8>) throws(DecodingFailure) {
    guard !open.isEmpty else {
      guard run.allSatisfy(Self.isBlank) || run.elementsEqual([0xef, 0xbb, 0xbf]) else { throw .badValue }
      return
    }
    // What is longer is no field of ours: it is cut, so that memory stays bounded.
    text.append(contentsOf: run.prefix(Self.longestText - text.count))
  }

  private static func unescaped(_ run: ArraySlice<UInt8>) throws(DecodingFailure) -> [UInt8] {
    var result: [UInt8] = []
    var rest = run
    while let at = rest.firstIndex(of: UInt8(ascii: "&")) {
      result += rest[..<at]
      let tail = rest[(at + 1)...]
      guard let end = tail.prefix(10).firstIndex(of: UInt8(ascii: ";")) else { throw .badValue }
      result += try character(String(decoding: tail[..<end], as: UTF8.self)).utf8
      rest = rest[(end + 1)...]
    }
    return result + rest
  }

  private static func character(_ name: String) throws(DecodingFailure) -> String {
    switch name {
    case "amp": return "&"
    case "lt": return "<"
    case "gt": return ">"
    case "quot": return "\""
    case "apos": return "'"
    default:
      let isHexadecimal = name.hasPrefix("#x")
      let digits = name.dropFirst(isHexadecimal ? 2 : 1)
      guard name.hasPrefix("#"), digits.first?.isHexDigit == true,
        let number = UInt32(digits, radix: isHexadecimal ? 16 : 10), number != 0,
        let scalar = Unicode.Scalar(number)
      else { throw .badValue }
      return String(Character(scalar))
    }
  }

  private mutating func skip(_ token: String) -> Bool {
    guard bytes[position...].starts(with: token.utf8) else { return false }
    position += token.utf8.count
    return true
  }

  private mutating func skip(past token: String) throws(DecodingFailure) {
    while position < bytes.endIndex {
      if skip(token) { return }
      position += 1
    }
    throw .truncated
  }

  private mutating func skipBlanks() {
    while position < bytes.endIndex, Self.isBlank(bytes[position]) { position += 1 }
  }

  private static func trimmed(_ text: [UInt8]) -> String {
    guard let start = text.firstIndex(where: { !isBlank($0) }),
      let end = text.lastIndex(where: { !isBlank($0) })
    else { return "" }
    return String(decoding: text[start...end], as: UTF8.self)
  }

  private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 9 || byte == 10 || byte == 13 }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."),
      UInt8(ascii: ":"):
      true
    default: byte >= 0x80
    }
  }
}
