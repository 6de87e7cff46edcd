import Foundation

/// RFC 4648 §4: the standard alphabet, padded, nothing else accepted.
public enum Base64 {
  /// Four characters for each three bytes.
  public static func encode(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }

  /// `nil` for anything but a whole encoding.
  public static func decode(_ text: String) -> [UInt8]? { Data(base64Encoded: text).map { [UInt8]($0) } }
}
