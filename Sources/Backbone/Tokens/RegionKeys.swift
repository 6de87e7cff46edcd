import Foundation
import MeshCrypto
import MeshWire

/// The secrets that all backbones of a region share: the key of challenges, and one or two keys of tokens.
///
/// The first token key signs; every one verifies. To rotate, put a new key first, and drop the old one when
/// the last token signed with it has expired.
public struct RegionKeys: Sendable {
  /// A token key lives through at most one rotation.
  public static let maximumTokenKeys = 2

  /// An HS512 key and its name in token headers.
  public struct TokenKey: Sendable {
    let id: String
    let secret: [UInt8]
  }

  let challengeKey: [UInt8]
  let tokenKeys: [TokenKey]

  /// Fresh keys from the system's randomness.
  public init() {
    challengeKey = secureRandomBytes(32)
    tokenKeys = [Self.freshTokenKey()]
  }

  private init(challengeKey: [UInt8], tokenKeys: [TokenKey]) {
    self.challengeKey = challengeKey
    self.tokenKeys = tokenKeys
  }

  /// The same with a new token key in front, and at most one old one kept.
  public func rotated() -> RegionKeys {
    RegionKeys(
      challengeKey: challengeKey,
      tokenKeys: [Self.freshTokenKey()] + tokenKeys.prefix(Self.maximumTokenKeys - 1))
  }

  private static func freshTokenKey() -> TokenKey {
    TokenKey(id: secureRandomBytes(8).hex, secret: secureRandomBytes(64))
  }
}

/// Bytes from the system's secure random number generator.
func secureRandomBytes(_ count: Int) -> [UInt8] {
  var generator = SystemRandomNumberGenerator()
  var bytes: [UInt8] = []
  bytes.reserveCapacity(count + 7)
  while bytes.count < count {
    // Eight bytes at a time: each call asks the kernel.
    let word: UInt64 = generator.next()
    for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: word >> shift)) }
  }
  bytes.removeLast(bytes.count - count)
  return bytes
}

extension RegionKeys {
  private struct Stored: Codable {
    struct Key: Codable {
      let id: String
      let secret: String
    }
    let challengeKey: String
    let tokenKeys: [Key]
  }

  /// JSON for a file that only its owner can read.
  var encoded: Data {
    get throws {
      let keys = tokenKeys.map { Stored.Key(id: $0.id, secret: $0.secret.hex) }
      return try JSONEncoder().encode(Stored(challengeKey: challengeKey.hex, tokenKeys: keys))
    }
  }

  /// Reads what ``encoded`` wrote; `nil` for anything else.
  init?(encoded: Data) {
    guard let stored = try? JSONDecoder().decode(Stored.self, from: encoded),
      let challengeKey = [UInt8](hex: stored.challengeKey), challengeKey.count == 32,
      (1...Self.maximumTokenKeys).contains(stored.tokenKeys.count)
    else { return nil }
    var keys: [TokenKey] = []
    for key in stored.tokenKeys {
      guard let secret = [UInt8](hex: key.secret), secret.count == 64, !key.id.isEmpty else { return nil }
      keys.append(TokenKey(id: key.id, secret: secret))
    }
    self.init(challengeKey: challengeKey, tokenKeys: keys)
  }
}
