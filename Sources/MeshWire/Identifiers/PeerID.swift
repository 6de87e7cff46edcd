/// A node's 160-bit identifier in the overlay: the first 20 bytes of its ``KeyHash``.
///
/// For routing, look-ups and display only. Two keys that share a PeerID can be ground out in 2^80 steps, so
/// no signature binds to it (`docs/protocol/SMH1.md` §1).
public struct PeerID: Hashable, Sendable, Comparable {
  /// Size on the wire, in bytes.
  public static let size = 20
  /// Size in bits: the number of Kademlia buckets.
  public static let bitWidth = 160

  let high: UInt64
  let middle: UInt64
  let low: UInt32

  @usableFromInline init(_ high: UInt64, _ middle: UInt64, _ low: UInt32) {
    self.high = high
    self.middle = middle
    self.low = low
  }

  /// Reads a PeerID from exactly 20 bytes; `nil` for any other length.
  @inlinable public init?(_ bytes: some Collection<UInt8>) {
    guard bytes.count == Self.size else { return nil }
    var iterator = bytes.makeIterator()
    func word(_ size: Int) -> UInt64 {
      var value: UInt64 = 0
      for _ in 0..<size { value = value << 8 | UInt64(iterator.next() ?? 0) }
      return value
    }
    self.init(word(8), word(8), UInt32(word(4)))
  }

  /// Reads a PeerID from 40 hexadecimal digits; `nil` for anything else.
  public init?(hex: String) {
    guard let bytes = [UInt8](hex: hex) else { return nil }
    self.init(bytes)
  }

  /// The 20 bytes, in wire order.
  public var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.size)
    bytes.append(bigEndian: high)
    bytes.append(bigEndian: middle)
    bytes.append(bigEndian: low)
    return bytes
  }

  /// The XOR distance of the Kademlia paper (§2.1).
  public func distance(to other: PeerID) -> Distance {
    Distance(value: PeerID(high ^ other.high, middle ^ other.middle, low ^ other.low))
  }

  public static func < (a: PeerID, b: PeerID) -> Bool {
    (a.high, a.middle, a.low) < (b.high, b.middle, b.low)
  }

  /// The XOR of two PeerIDs, ordered as an unsigned 160-bit integer.
  public struct Distance: Hashable, Sendable, Comparable {
    let value: PeerID

    /// Index of the k-bucket at this distance, 0 (nearest) to 159 (farthest): the position of the highest set
    /// bit.
    /// `nil` at distance zero, the node itself.
    public var bucketIndex: Int? {
      if value.high != 0 { return 159 - value.high.leadingZeroBitCount }
      if value.middle != 0 { return 95 - value.middle.leadingZeroBitCount }
      if value.low != 0 { return 31 - value.low.leadingZeroBitCount }
      return nil
    }

    public static func < (a: Distance, b: Distance) -> Bool { a.value < b.value }
  }
}

extension PeerID: CustomStringConvertible {
  /// 40 lowercase hexadecimal digits.
  public var description: String { bytes.hex }
}
