import MeshCrypto

/// Random bytes from a seed: HMAC-SHA-512 over a counter, under a key that only moves forward. The shell
/// seeds it with the system's randomness, the simulator with a number.
struct SeededRandom: RandomNumberGenerator {
  private var key: [UInt8]
  private var block: [UInt8] = []
  private var used = 0

  /// - Parameter seed: at least 32 bytes of entropy.
  init(seed: [UInt8]) {
    precondition(seed.count >= 32, "a seed holds 32 bytes of entropy or more")
    key = Primitives.hmacSHA512(key: Array("shadowmesh/1 seeded random".utf8), seed)
  }

  mutating func next() -> UInt64 { bytes(8).reduce(0) { $0 << 8 | UInt64($1) } }

  mutating func bytes(_ count: Int) -> [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity(count)
    while output.count < count {
      if used == block.count {
        block = Primitives.hmacSHA512(key: key, [0])
        // What was given out can't be computed back from what is kept.
        key = Primitives.hmacSHA512(key: key, [1])
        used = 0
      }
      let taken = min(count - output.count, block.count - used)
      output += block[used..<used + taken]
      used += taken
    }
    return output
  }

  /// Never zero: zero marks an absent index on the wire.
  mutating func receiverIndex() -> UInt32 {
    while true {
      let index = UInt32(truncatingIfNeeded: next())
      if index != 0 { return index }
    }
  }
}
