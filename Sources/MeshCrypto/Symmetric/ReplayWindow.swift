/// Which counters have come: the last 2,048, as RFC 6479 keeps them, in a ring of 64-bit blocks.
///
/// One block more than the window needs, so that a block can be cleared as a whole when the window moves on.
public struct ReplayWindow: Sendable {
  /// Counters that it spans.
  public static let span = 2_048
  private static let blocks = 33
  private var ring = InlineArray<33, UInt64>(repeating: 0)
  /// One more than the highest counter that came.
  private var next: UInt64 = 0

  public init() {}

  /// Whether this counter is new. Ask before the tag is checked, ``mark(_:)`` after.
  public func admits(_ counter: UInt64) -> Bool {
    if counter >= next { return true }
    guard next - 1 - counter < UInt64(Self.span) else { return false }
    return ring[Self.block(counter)] & Self.bit(counter) == 0
  }

  /// Whether no higher counter has come.
  public func isNewest(_ counter: UInt64) -> Bool { counter >= next }

  /// Takes note of a counter whose packet was authentic.
  public mutating func mark(_ counter: UInt64) {
    if counter >= next {
      // Blocks that no counter has fallen into yet.
      var fresh = (next + 63) / 64
      let last = counter / 64
      if last >= fresh, last - fresh >= UInt64(Self.blocks) { fresh = last - UInt64(Self.blocks) + 1 }
      while fresh <= last {
        ring[Int(fresh % UInt64(Self.blocks))] = 0
        fresh += 1
      }
      next = counter + 1
    }
    ring[Self.block(counter)] |= Self.bit(counter)
  }

  private static func block(_ counter: UInt64) -> Int { Int(counter / 64 % UInt64(blocks)) }
  private static func bit(_ counter: UInt64) -> UInt64 { 1 << (counter % 64) }
}
