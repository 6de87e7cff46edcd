public import MeshWire

extension RoutingTable {
  /// When the next bucket wants a refresh look-up; `nil` while the table is empty.
  public var refreshDeadline: Instant? {
    refreshable.lazy.map { buckets[$0].lastLookup + limits.refreshInterval }.min()
  }

  /// A look-up for `target` starts: its bucket is fresh.
  public mutating func lookedUp(_ target: PeerID, now: Instant) {
    guard let index = bucketIndex(of: target) else { return }
    buckets[index].lastLookup = now
  }

  /// The random target of the refresh that is most overdue, if one is due; its bucket counts as fresh from
  /// now on.
  ///
  /// `random` gives the bits below the bucket's own: 20 bytes from the shell's or the simulator's source.
  /// Fewer count as zeros.
  public mutating func refreshDue(now: Instant, random: some Collection<UInt8>) -> PeerID? {
    var stalest: Int?
    for index in refreshable
    where stalest.map({ buckets[index].lastLookup < buckets[$0].lastLookup }) ?? true {
      stalest = index
    }
    guard let index = stalest, buckets[index].lastLookup + limits.refreshInterval <= now else { return nil }
    buckets[index].lastLookup = now
    return target(inBucket: index, random: random)
  }

  /// Buckets from the nearest that has a contact to the farthest; what is nearer yet lies within the same
  /// neighbours.
  private var refreshable: Range<Int> {
    let nearest = buckets.firstIndex { !$0.entries.isEmpty } ?? buckets.count
    return nearest..<buckets.count
  }

  /// Our own bits above the bucket's, the opposite of ours at it, random ones below.
  func target(inBucket index: Int, random: some Collection<UInt8>) -> PeerID? {
    var bytes = own.bytes
    var random = random.makeIterator()
    let flipped = PeerID.bitWidth - 1 - index
    for position in bytes.indices {
      let noise = random.next() ?? 0
      // How many leading bits of this byte stay as in our own identifier.
      let kept = min(8, max(0, flipped - 8 * position))
      let mask = kept == 8 ? 0 : UInt8(0xff) >> UInt8(kept)
      bytes[position] = bytes[position] & ~mask | noise & mask
    }
    let bit = UInt8(0x80) >> UInt8(flipped % 8)
    bytes[flipped / 8] = bytes[flipped / 8] & ~bit | ~own.bytes[flipped / 8] & bit
    return PeerID(bytes)
  }
}
