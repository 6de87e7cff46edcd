/// Everything random in a run, drawn from its seed: SplitMix64 (Steele, Lea, Flood 2014), which needs to
/// spread well and to be the same everywhere, not to be secret.
public struct Chance: RandomNumberGenerator, Sendable {
  private var state: UInt64

  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    return Self.mix(state)
  }

  private static func mix(_ value: UInt64) -> UInt64 {
    var mixed = value
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }

  /// A stream of its own: what is drawn from it doesn't shift what is drawn from this one.
  public func stream(_ number: UInt64) -> Chance {
    Chance(seed: Self.mix(state ^ Self.mix(number &+ 0x632b_e59b_d9b4_e019)))
  }

  /// Whether something of this probability (0 to 1) happens.
  public mutating func happens(_ probability: Double) -> Bool {
    probability > 0 && Double(next() >> 11) * 0x1p-53 < probability
  }

  /// Evenly between zero and `longest`.
  public mutating func duration(upTo longest: Duration) -> Duration {
    let nanoseconds = longest.nanosecondCount
    guard nanoseconds > 0 else { return .zero }
    return .nanoseconds(Int64(next() % (nanoseconds + 1)))
  }

  /// Evenly among `0..<count`; `count` is at least one.
  public mutating func index(below count: Int) -> Int { Int(next() % UInt64(count)) }

  /// One of them, evenly; there is at least one.
  public mutating func pick<Value>(_ values: [Value]) -> Value { values[index(below: values.count)] }

  /// The numbers below `count` in any order (Fisher and Yates).
  public mutating func order(of count: Int) -> [Int] {
    var order = Array(0..<count)
    for last in order.indices.dropFirst().reversed() { order.swapAt(last, index(below: last + 1)) }
    return order
  }

  /// So many bytes.
  public mutating func bytes(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 7)
    while bytes.count < count {
      let word = next()
      for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: word >> shift)) }
    }
    bytes.removeLast(bytes.count - count)
    return bytes
  }
}

extension Duration {
  /// Whole nanoseconds of a duration that isn't negative.
  var nanosecondCount: UInt64 {
    let (seconds, attoseconds) = components
    return UInt64(max(0, seconds)) * 1_000_000_000 + UInt64(max(0, attoseconds)) / 1_000_000_000
  }
}
