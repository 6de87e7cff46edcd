import MeshCrypto
import MeshWire

/// A stateless login challenge: time 8, random 16, HMAC-SHA-256 32 over both under the region's challenge
/// key.
///
/// Nothing is stored when one is issued, so asking for challenges costs a backbone no memory. Any backbone of
/// the region accepts it; that it is used once is the store's part.
struct LoginChallenge: Hashable, Sendable {
  static let size = 56
  /// How long one may be answered.
  static let life = Duration.seconds(60)
  /// How far in the future another backbone of the region may have issued one, by our clock.
  static let clockTolerance = Duration.seconds(5)
  private static let purpose = Array("shadowmesh challenge".utf8)

  let issued: WallTime
  /// Names the challenge when it is redeemed.
  let random: [UInt8]
  let bytes: [UInt8]

  /// Issues a challenge; `random` is 16 fresh bytes.
  init(issuedAt now: WallTime, random: [UInt8], key: [UInt8]) {
    issued = now
    self.random = random
    let stated = Self.stated(now, random)
    bytes = stated + Primitives.hmacSHA256(key: key, Self.purpose + stated)
  }

  /// Accepts only what this region's key has issued, within its life; `nil` for anything else.
  init?(_ bytes: [UInt8], key: [UInt8], now: WallTime) {
    guard bytes.count == Self.size else { return nil }
    let stated = Array(bytes[..<24])
    guard constantTimeEqual(bytes[24...], Primitives.hmacSHA256(key: key, Self.purpose + stated)) else {
      return nil
    }
    issued = WallTime(secondsSinceEpoch: stated[..<8].reduce(0) { $0 << 8 | UInt64($1) })
    random = Array(stated[8...])
    self.bytes = bytes
    guard issued < now + Self.clockTolerance, now < expiry else { return nil }
  }

  var expiry: WallTime { issued + Self.life }

  private static func stated(_ time: WallTime, _ random: [UInt8]) -> [UInt8] {
    var writer = ByteWriter(reserving: 24)
    writer.write(time.secondsSinceEpoch)
    writer.write(random.prefix(16))
    return writer.bytes
  }
}
