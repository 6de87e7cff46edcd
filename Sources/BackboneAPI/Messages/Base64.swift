import Foundation

/// RFC 4648 §4: the standard alphabet, padded, nothing else accepted.
public enum Base64 {
  /// Four characters for each three bytes.
  public static func encode(_ bytes: [UInt8]) -> String { String(decoding: characters(bytes), as: UTF8.self) }

  /// `nil` for anything but a whole encoding.
  public static func decode(_ text: String) -> [UInt8]? { Data(base64Encoded: text).map { [UInt8]($0) } }

  /// The same for ASCII.
  public static func decode(_ characters: [UInt8]) -> [UInt8]? {
    Data(base64Encoded: Data(characters)).map { [UInt8]($0) }
  }

  /// RFC 4648 §5, without padding, as tokens have it: ASCII.
  public static func encodeForURL(_ bytes: [UInt8]) -> [UInt8] {
    var text = characters(bytes)
    for index in text.indices {
      switch text[index] {
      case UInt8(ascii: "+"): text[index] = UInt8(ascii: "-")
      case UInt8(ascii: "/"): text[index] = UInt8(ascii: "_")
      default: break
      }
    }
    while text.last == UInt8(ascii: "=") { text.removeLast() }
    return text
  }

  /// The two characters for each twelve bits, the first in the low half.
  private static let pairs: [UInt16] = {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    return (0..<4_096).map { UInt16(alphabet[$0 >> 6]) | UInt16(alphabet[$0 & 63]) << 8 }
  }()

  /// An encoding as ASCII between two other texts, in one piece: a record's is most of what a look-up costs
  /// beside its query, so it is written where it stays, eight characters at a time.
  static func characters(_ bytes: [UInt8], after head: String = "", before tail: String = "") -> [UInt8] {
    let count = head.utf8.count + (bytes.count + 2) / 3 * 4
    var text = unsafe [UInt8](unsafeUninitializedCapacity: count + tail.utf8.count) { buffer, initialized in
      let written = unsafe buffer.update(fromContentsOf: Array(head.utf8))
      unsafe pairs.withUnsafeBufferPointer { pairs in
        unsafe bytes.withUnsafeBytes { bytes in
          unsafe encode(bytes, by: pairs, into: UnsafeMutableRawBufferPointer(buffer), at: written)
        }
      }
      initialized = count
    }
    text += tail.utf8
    return text
  }

  // why: no index is checked in a release build. The space is (count + 2) / 3 * 4, which both loops keep to:
  // the first writes 8 characters for 6 bytes and needs 8 to read, the second 4 for the 1 to 3 that it takes.
  @unsafe private static func encode(
    _ bytes: UnsafeRawBufferPointer, by pairs: UnsafeBufferPointer<UInt16>,
    into text: UnsafeMutableRawBufferPointer, at start: Int
  ) {
    var input = 0
    var output = start
    while input + 8 <= bytes.count {
      let word = UInt64(bigEndian: unsafe bytes.loadUnaligned(fromByteOffset: input, as: UInt64.self))
      let low = unsafe UInt64(pairs[Int(word >> 52)]) | UInt64(pairs[Int(word >> 40 & 0xfff)]) << 16
      let high = unsafe UInt64(pairs[Int(word >> 28 & 0xfff)]) | UInt64(pairs[Int(word >> 16 & 0xfff)]) << 16
      unsafe text.storeBytes(of: (low | high << 32).littleEndian, toByteOffset: output, as: UInt64.self)
      input += 6
      output += 8
    }
    while input < bytes.count {
      let left = bytes.count - input
      let second = left > 1 ? unsafe Int(bytes[input + 1]) : 0
      let third = left > 2 ? unsafe Int(bytes[input + 2]) : 0
      let word = unsafe Int(bytes[input]) << 16 | second << 8 | third
      let (low, high) = unsafe (pairs[word >> 12], pairs[word & 0xfff])
      let padding = UInt8(ascii: "=")
      unsafe text[output] = UInt8(truncatingIfNeeded: low)
      unsafe text[output + 1] = UInt8(truncatingIfNeeded: low >> 8)
      unsafe text[output + 2] = left > 1 ? UInt8(truncatingIfNeeded: high) : padding
      unsafe text[output + 3] = left > 2 ? UInt8(truncatingIfNeeded: high >> 8) : padding
      input += 3
      output += 4
    }
  }
}
