import MeshWire

/// How a link treats datagrams. Probabilities are 0 to 1, each for one datagram.
public struct LinkQuality: Sendable, Hashable {
  /// One way.
  public var delay: Duration
  /// Added to the delay, evenly from zero to this: datagrams overtake each other when it is longer than the
  /// gap between them.
  public var jitter: Duration
  public var loss: Double
  public var duplication: Double
  /// A datagram waits for another three delays: whatever comes after overtakes it.
  public var reordering: Double
  /// One bit is turned.
  public var corruption: Double
  /// What waits is delayed behind what went before; `nil` is without end.
  public var bytesPerSecond: Int?
  /// Largest UDP payload; larger ones are lost, as by a router that drops and stays silent.
  public var largestPayload: Int

  public init(
    delay: Duration = .milliseconds(20), jitter: Duration = .zero, loss: Double = 0, duplication: Double = 0,
    reordering: Double = 0, corruption: Double = 0, bytesPerSecond: Int? = nil, largestPayload: Int = 1_472
  ) {
    self.delay = delay
    self.jitter = jitter
    self.loss = loss
    self.duplication = duplication
    self.reordering = reordering
    self.corruption = corruption
    self.bytesPerSecond = bytesPerSecond
    self.largestPayload = largestPayload
  }

  /// The same delay and size, and no faults.
  public var healed: LinkQuality {
    LinkQuality(delay: delay, bytesPerSecond: bytesPerSecond, largestPayload: largestPayload)
  }
}

/// One direction between two addresses.
struct Link {
  var quality: LinkQuality
  /// When the last datagram has left; bandwidth is counted from there.
  private var busyUntil = Instant(nanoseconds: 0)
  /// A queue longer than this is cut: what a router's buffer holds.
  static let longestQueue: Duration = .seconds(1)

  init(quality: LinkQuality) { self.quality = quality }

  /// What arrives of a datagram that is sent now: nothing, it, or more than one.
  mutating func carry(
    _ datagram: [UInt8], now: Instant, chance: inout Chance
  ) -> [(at: Instant, datagram: [UInt8])] {
    guard datagram.count <= quality.largestPayload, !chance.happens(quality.loss) else { return [] }
    var leaves = now
    if let rate = quality.bytesPerSecond {
      leaves = max(now, busyUntil)
      guard leaves - now <= Self.longestQueue else { return [] }
      leaves = leaves + .nanoseconds(Int64(datagram.count) * 1_000_000_000 / Int64(rate))
      busyUntil = leaves
    }
    let copies = chance.happens(quality.duplication) ? 2 : 1
    return (0..<copies).map { _ in
      var at = leaves + quality.delay + chance.duration(upTo: quality.jitter)
      if chance.happens(quality.reordering) { at = at + quality.delay * 3 }
      var arriving = datagram
      if chance.happens(quality.corruption), !arriving.isEmpty {
        let bit = chance.index(below: arriving.count * 8)
        arriving[bit / 8] ^= 1 << UInt8(bit % 8)
      }
      return (at, arriving)
    }
  }
}
