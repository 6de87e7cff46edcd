import MeshWire
import RepeatableRandom

extension SplitMix64 {
  mutating func uint128() -> UInt128 { UInt128(next()) << 64 | UInt128(next()) }

  /// Half of them IPv4; half of the groups of the IPv6 ones zero, so that `::` occurs.
  mutating func address() -> IPAddress {
    if Bool.random(using: &self) { return .v4(UInt32(truncatingIfNeeded: next())) }
    var value = uint128()
    for group in 0..<8 where Bool.random(using: &self) { value &= ~(UInt128(0xffff) << (16 * group)) }
    return .v6(value)
  }
}
