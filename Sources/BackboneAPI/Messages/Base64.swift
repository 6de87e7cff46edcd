import Foundation

/// RFC 4648 §4: the standard alphabet, padded, nothing else accepted.
public enum Base64 {
  /// Four characters for each three bytes.
  public static func encode(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }

  /// `nil` for anything but a whole encoding.
  public static func decode(_ text: String) -> [UInt8]? { Data(base64Encoded: text).map { [UInt8]($0) } }

  /// The same for ASCII.
  public static func decode(_ characters: [UInt8]) -> [UInt8]? {
    Data(base64Encoded: Data(characters)).map { [UInt8]($0) }
  }

  /// RFC 4648 §5, without padding, as tokens have it: ASCII.
  public static func encodeForURL(_ bytes: [UInt8]) -> [UInt8] {
    var text = [UInt8](Data(bytes).base64EncodedData())
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
}
