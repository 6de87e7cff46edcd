/// The full identity of a node: SHA-256 (FIPS 180-4) of its raw 2,592-byte ML-DSA-87 public key, 32 bytes.
///
/// Everything that authenticates, and every registry key and token subject, is this or the whole key.
public struct KeyHash: Hashable, Sendable, Comparable {
  /// Size on the wire, in bytes.
  public static let size = 32

  @usableFromInline let words: (UInt64, UInt64, UInt64, UInt64)

  /// Reads a key hash from exactly 32 bytes; `nil` for any other length.
  @inlinable public init?(_ bytes: some Collection<UInt8>) {
    guard bytes.count == Self.size else { return nil }
    var iterator = bytes.makeIterator()
    func word() -> UInt64 {
      var value: UInt64 = 0
      for _ in 0..<8 { value = value << 8 | UInt64(iterator.next() ?? 0) }
      return value
    }
    words = (word(), word(), word(), word())
  }

  /// Reads a key hash from 64 hexadecimal digits; `nil` for anything else.
  public init?(hex: String) {
    guard let bytes = [UInt8](hex: hex) else { return nil }
    self.init(bytes)
  }

  /// The 32 bytes, in wire order.
  public var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.size)
    for word in [words.0, words.1, words.2, words.3] { bytes.append(bigEndian: word) }
    return bytes
  }

  /// The short name of the same node: the first 20 bytes.
  public var peerID: PeerID { PeerID(words.0, words.1, UInt32(truncatingIfNeeded: words.2 >> 32)) }

  public static func == (a: KeyHash, b: KeyHash) -> Bool {
    a.words.0 == b.words.0 && a.words.1 == b.words.1 && a.words.2 == b.words.2
      && a.words.3 == b.words.3
  }

  public static func < (a: KeyHash, b: KeyHash) -> Bool {
    (a.words.0, a.words.1, a.words.2, a.words.3) < (b.words.0, b.words.1, b.words.2, b.words.3)
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(words.0)
    hasher.combine(words.1)
    hasher.combine(words.2)
    hasher.combine(words.3)
  }
}

extension KeyHash: CustomStringConvertible {
  /// 64 lowercase hexadecimal digits.
  public var description: String { bytes.hex }
}
