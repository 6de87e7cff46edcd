import MeshCrypto
public import MeshWire

/// Makes the macs of datagrams in the clear good again after a target has changed them (SMH1.md §5): else
/// nothing would ever get behind that check.
public enum ClearMacs {
  /// M1's mac1, keyed by the responder's identity.
  public static func sealM1(_ datagram: inout [UInt8], to responder: KeyHash) {
    guard datagram.count >= 45 else { return }
    let key = Primitives.sha256(Array("SMH/1 mac1".utf8) + responder.bytes)
    let mac = Primitives.hmacSHA256(key: key, Array(datagram[..<29]) + datagram[45...])
    datagram.replaceSubrange(29..<45, with: mac.prefix(16))
  }

  /// The mac of M2a, Retry and Ack, keyed by the random of M1.
  public static func seal(_ datagram: inout [UInt8], random: [UInt8]) {
    guard datagram.count >= 29 else { return }
    let key = Primitives.sha256(Array("SMH/1 mac2".utf8) + random)
    let mac = Primitives.hmacSHA256(key: key, Array(datagram[..<13]) + datagram[29...])
    datagram.replaceSubrange(13..<29, with: mac.prefix(16))
  }

  /// Whichever of the two the datagram's type asks for.
  public static func sealAny(_ datagram: inout [UInt8], to responder: KeyHash, random: [UInt8]) {
    switch datagram.first {
    case 2: sealM1(&datagram, to: responder)
    case 3, 4, 7: seal(&datagram, random: random)
    default: break
    }
  }
}
