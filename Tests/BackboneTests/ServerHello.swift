import MeshWire

/// What a TLS server chose, read from the first bytes it sends (RFC 8446 §4.1.3, §4.2).
enum ServerFlight: Equatable {
  /// `share` is the size of the server's key share.
  case hello(version: UInt16, group: UInt16, share: Int)
  /// The alert's description (RFC 8446 §6).
  case alert(UInt8)

  static let tls13: UInt16 = 0x0304
  /// X25519MLKEM768; its server share is an ML-KEM-768 ciphertext and an X25519 key.
  static let hybrid = ServerFlight.hello(version: tls13, group: 0x11EC, share: 1_088 + 32)
  static let x25519 = ServerFlight.hello(version: tls13, group: 0x001D, share: 32)
  static let protocolVersionAlert = ServerFlight.alert(70)

  /// `nil` for bytes that are neither, and for a hello without a key share.
  init?(_ bytes: [UInt8]) {
    func number(_ range: Range<Int>) -> Int? {
      range.upperBound <= bytes.count ? bytes[range].reduce(0) { $0 << 8 | Int($1) } : nil
    }
    if bytes.count >= 7, bytes[0] == 21 {
      self = .alert(bytes[6])
      return
    }
    // Record header 5, handshake header 4, legacy version 2, random 32.
    guard bytes.first == 22, number(5..<6) == 2, let session = number(43..<44) else { return nil }
    var at = 44 + session + 3
    guard let extensions = number(at..<at + 2) else { return nil }
    at += 2
    let end = at + extensions
    var version: Int?
    var share: (group: Int, size: Int)?
    while at + 4 <= end, let kind = number(at..<at + 2), let size = number(at + 2..<at + 4) {
      if kind == 43 { version = number(at + 4..<at + 6) }
      if kind == 51, let group = number(at + 4..<at + 6), let keySize = number(at + 6..<at + 8) {
        share = (group, keySize)
      }
      at += 4 + size
    }
    guard let version, let share else { return nil }
    self = .hello(version: UInt16(version), group: UInt16(share.group), share: share.size)
  }
}
