/// Builds a message, big-endian, field by field.
public struct ByteWriter: Sendable {
  public private(set) var bytes: [UInt8] = []

  public init(reserving capacity: Int = 0) { bytes.reserveCapacity(capacity) }

  /// Appends one field: integers in network byte order, everything else as its own bytes.
  public mutating func write(_ value: UInt8) { bytes.append(value) }
  public mutating func write(_ value: UInt16) { bytes.append(bigEndian: value) }
  public mutating func write(_ value: UInt32) { bytes.append(bigEndian: value) }
  public mutating func write(_ value: UInt64) { bytes.append(bigEndian: value) }
  public mutating func write(_ value: some Sequence<UInt8>) { bytes.append(contentsOf: value) }
  public mutating func write(_ value: KeyHash) { bytes.append(contentsOf: value.bytes) }
  public mutating func write(_ value: PeerID) { bytes.append(contentsOf: value.bytes) }
  /// Appends `count` zero bytes.
  public mutating func write(zeros count: Int) {
    bytes.append(contentsOf: repeatElement(0, count: count))
  }
}

extension Array where Element == UInt8 {
  /// Appends an integer in network byte order.
  @inlinable public mutating func append(bigEndian value: some FixedWidthInteger) {
    var shift = value.bitWidth
    while shift > 0 {
      shift -= 8
      append(UInt8(truncatingIfNeeded: value >> shift))
    }
  }

  /// Lowercase hexadecimal digits, two a byte.
  public var hex: String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    text.reserveCapacity(2 * count)
    for byte in self {
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// Reads an even number of hexadecimal digits of either case; `nil` for anything else.
  public init?(hex: String) {
    func digit(_ character: UInt8) -> UInt8? {
      switch character {
      case 48...57: character - 48
      case 65...70: character - 55
      case 97...102: character - 87
      default: nil
      }
    }
    let text = [UInt8](hex.utf8)
    guard text.count.isMultiple(of: 2) else { return nil }
    self = []
    reserveCapacity(text.count / 2)
    for index in stride(from: 0, to: text.count, by: 2) {
      guard let high = digit(text[index]), let low = digit(text[index + 1]) else { return nil }
      append(high << 4 | low)
    }
  }
}
