/// Relays on the way to a peer that is reached through relays: 1 to 3.
public struct HopCount: Hashable, Sendable {
  /// What SMH/1 circuits can have.
  public static let range = 1...3

  public let value: Int

  /// `nil` outside of ``range``.
  public init?(_ value: Int) {
    guard Self.range.contains(value) else { return nil }
    self.value = value
  }

  /// Reads one digit; `nil` for anything else.
  public init?(_ text: some StringProtocol) {
    guard text.utf8.count == 1, let value = Int(text) else { return nil }
    self.init(value)
  }
}

extension HopCount: CustomStringConvertible {
  public var description: String { "\(value)" }
}

extension HopCount: Codable {
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    guard let hops = HopCount(try container.decode(Int.self)) else {
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "hops are \(Self.range.lowerBound) to \(Self.range.upperBound)")
    }
    self = hops
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(value)
  }
}
