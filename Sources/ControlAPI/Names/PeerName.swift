/// The name a person gives to a peer: 1 to 32 of `a-z`, `0-9` and `-`, not beginning with `-`. Local to one
/// node.
public struct PeerName: Hashable, Sendable, Comparable {
  /// Most characters of a name.
  public static let maximumLength = 32

  public let text: String

  /// `nil` when the text is not a name. Never folds case: `Bob` is refused, so that two spellings stay one
  /// name.
  public init?(_ text: some StringProtocol) {
    func isNameCharacter(_ byte: UInt8) -> Bool {
      (97...122).contains(byte) || (48...57).contains(byte) || byte == 45
    }
    let bytes = text.utf8
    guard (1...Self.maximumLength).contains(bytes.count), bytes.first != 45,
      bytes.allSatisfy(isNameCharacter)
    else { return nil }
    self.text = String(text)
  }

  public static func < (a: PeerName, b: PeerName) -> Bool { a.text < b.text }
}

extension PeerName: CustomStringConvertible {
  public var description: String { text }
}

extension PeerName: Codable {
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    guard let name = PeerName(try container.decode(String.self)) else {
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "a name is 1 to 32 of a-z, 0-9 and -")
    }
    self = name
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(text)
  }
}
