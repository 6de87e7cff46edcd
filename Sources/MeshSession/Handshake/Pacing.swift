import MeshWire

/// When to send again: 500 ms, then twice as long each time up to 2 s, each ±10 % (SMH1.md §7).
struct Backoff {
  private var interval = Limits.firstInterval
  private var jitter: UInt64
  private(set) var next: Instant?

  init(seed: UInt64) { jitter = seed }

  /// Starts again at the first interval.
  mutating func restart(now: Instant) {
    interval = Limits.firstInterval
    schedule(now: now)
  }

  /// After a firing.
  mutating func lengthen(now: Instant) {
    interval = min(interval * 2, Limits.longestInterval)
    schedule(now: now)
  }

  mutating func stop() { next = nil }

  func isDue(_ now: Instant) -> Bool { next.map { $0 <= now } ?? false }

  private mutating func schedule(now: Instant) {
    // SplitMix64 (Steele, Lea, Flood 2014): jitter needs spread, not secrecy.
    jitter &+= 0x9e37_79b9_7f4a_7c15
    var mixed = jitter
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    mixed ^= mixed >> 31
    next = now + interval * (900 + Int(mixed % 201)) / 1_000
  }
}

/// The 3× rule (SMH1.md §6): bytes of UDP payload from and to an address that may be forged.
struct AmplificationBudget {
  private(set) var received = 0
  private(set) var sent = 0
  private(set) var isValidated = false

  mutating func receive(_ count: Int) { received += count }

  mutating func validate() { isValidated = true }

  /// What was exchanged with the same address on behalf of another.
  mutating func add(_ other: AmplificationBudget) {
    received += other.received
    sent += other.sent
    isValidated = isValidated || other.isValidated
  }

  /// Whether a datagram of `count` bytes may go out; counts it when so.
  mutating func spend(_ count: Int) -> Bool {
    guard isValidated || sent + count <= Limits.amplification * received else { return false }
    sent += count
    return true
  }
}

/// The earlier of two moments that may be absent.
func earlier(_ a: Instant?, _ b: Instant?) -> Instant? {
  guard let a else { return b }
  guard let b else { return a }
  return min(a, b)
}
