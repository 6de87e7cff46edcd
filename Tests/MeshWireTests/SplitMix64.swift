import MeshWire

/// Steele, Lea and Flood's generator: the same seed gives the same run on every machine.
struct SplitMix64: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }

  mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
  }

  mutating func uint128() -> UInt128 { UInt128(next()) << 64 | UInt128(next()) }

  /// Half of them IPv4; half of the groups of the IPv6 ones zero, so that `::` occurs.
  mutating func address() -> IPAddress {
    if Bool.random(using: &self) { return .v4(UInt32(truncatingIfNeeded: next())) }
    var value = uint128()
    for group in 0..<8 where Bool.random(using: &self) { value &= ~(UInt128(0xffff) << (16 * group)) }
    return .v6(value)
  }
}
