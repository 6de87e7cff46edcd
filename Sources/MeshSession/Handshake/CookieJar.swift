import MeshCrypto
import MeshWire

/// Makes and checks cookies without state for anyone (SMH1.md §5): two secrets, each made anew after 120 s.
struct CookieJar {
  private let seed: [UInt8]
  private var made: UInt64 = 0
  private var current: [UInt8]
  private var previous: [UInt8]
  private var rotates: Instant

  init(seed: [UInt8], now: Instant) {
    self.seed = seed
    current = Self.secret(seed, 0)
    previous = current
    rotates = now + Limits.cookieLife
  }

  private static func secret(_ seed: [UInt8], _ number: UInt64) -> [UInt8] {
    var message = KeySchedule.label("cookie secret")
    message.append(bigEndian: number)
    return Primitives.hmacSHA256(key: seed, message)
  }

  /// Makes secrets anew that are due.
  mutating func rotate(now: Instant) {
    guard now >= rotates else { return }
    // After a pause of a whole life both have to go.
    let steps: UInt64 = now >= rotates + Limits.cookieLife ? 2 : 1
    for _ in 0..<steps {
      made += 1
      previous = current
      current = Self.secret(seed, made)
    }
    rotates = now + Limits.cookieLife
  }

  func cookie(for source: Endpoint, initiator: UInt64) -> [UInt8] {
    Self.cookie(secret: current, source, initiator)
  }

  func isGood(_ cookie: ArraySlice<UInt8>, for source: Endpoint, initiator: UInt64) -> Bool {
    constantTimeEqual(cookie, Self.cookie(secret: current, source, initiator))
      || constantTimeEqual(cookie, Self.cookie(secret: previous, source, initiator))
  }

  /// HMAC-SHA-256(secret, address 16 ‖ port 2 ‖ initiator id 8)[0:16].
  static func cookie(secret: [UInt8], _ source: Endpoint, _ initiator: UInt64) -> [UInt8] {
    var message: [UInt8] = []
    if case .v4(let address) = source.address {
      message += [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
      message.append(bigEndian: address)
    } else {
      message += source.address.bytes
    }
    message.append(bigEndian: source.port)
    message.append(bigEndian: initiator)
    return Array(Primitives.hmacSHA256(key: secret, message)[..<Layout.cookieSize])
  }
}
