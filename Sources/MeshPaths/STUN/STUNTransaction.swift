import MeshWire

/// The 96 bits that tie a response to its request (RFC 8489 §5). Random, so that only who saw the request can
/// answer it.
public struct STUNTransaction: Sendable, Hashable {
  /// Size on the wire, in bytes.
  public static let size = 12

  let high: UInt32
  let low: UInt64

  /// Reads exactly 12 bytes; `nil` for any other length.
  public init?(_ bytes: some Collection<UInt8>) {
    guard bytes.count == Self.size else { return nil }
    high = bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    low = bytes.dropFirst(4).reduce(0) { $0 << 8 | UInt64($1) }
  }

  private init(high: UInt32, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// The 12 bytes, in wire order.
  public var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(bigEndian: high)
    bytes.append(bigEndian: low)
    return bytes
  }

  /// The transaction of one try out of up to 16, which differ in their last four bits: an answer names the
  /// try that it answers, so that its round trip is known.
  func attempt(_ number: Int) -> STUNTransaction {
    STUNTransaction(high: high, low: low & ~15 | UInt64(number) & 15)
  }

  /// Which try this is, if it is one of `base`.
  func attemptNumber(of base: STUNTransaction) -> Int? {
    guard high == base.high, low >> 4 == base.low >> 4 else { return nil }
    return Int(low & 15)
  }
}
