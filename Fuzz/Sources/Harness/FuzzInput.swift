/// Takes a fuzzer's bytes apart; what is missing at the end reads as zeros.
public struct FuzzInput {
  private var bytes: ArraySlice<UInt8>

  /// Copies the bytes that libFuzzer lends.
  public init(_ start: UnsafePointer<UInt8>?, _ count: Int) {
    bytes = Array(UnsafeBufferPointer(start: start, count: count))[...]
  }

  public var isEmpty: Bool { bytes.isEmpty }

  /// The next byte.
  public mutating func byte() -> UInt8 { bytes.popFirst() ?? 0 }

  /// The next two bytes, big-endian.
  public mutating func uint16() -> Int { Int(byte()) << 8 | Int(byte()) }

  /// At most the next `count` bytes.
  public mutating func take(_ count: Int) -> [UInt8] {
    defer { bytes = bytes.dropFirst(count) }
    return Array(bytes.prefix(count))
  }

  /// A length in two bytes, and as many bytes as there are of it.
  public mutating func field() -> [UInt8] { take(uint16()) }

  /// A copy of other bytes with up to 15 of them changed, perhaps cut to a length.
  public mutating func changed(_ original: [UInt8]) -> [UInt8] {
    var bytes = original
    let many = byte()
    for _ in 0..<Int(many & 15) where !bytes.isEmpty { bytes[uint16() % bytes.count] ^= byte() }
    if many & 0x10 != 0 { bytes = Array(bytes.prefix(uint16())) }
    return bytes
  }

  /// All that is left.
  public mutating func rest() -> [UInt8] { take(bytes.count) }
}

extension Array where Element == UInt8 {
  /// The bytes as ``FuzzInput/field()`` reads them.
  public var asField: [UInt8] { [UInt8(count >> 8 & 255), UInt8(count & 255)] + self }
}
