import MeshWire

/// Token buckets by key, in a table of bounded size.
///
/// When the table is full, buckets that have filled up again are forgotten (they would admit anyway). When
/// all are in use, newcomers share one more bucket: an attacker with many addresses slows other newcomers
/// down, and costs no memory.
struct RateLimiter<Key: Hashable & Sendable>: Sendable {
  private struct Bucket {
    var level: Double
    var updated: Instant
  }

  private let rate: Rate
  private let capacity: Int
  private var buckets: [Key: Bucket] = [:]
  private var shared: Bucket?
  private var swept: Instant?

  /// - Parameters:
  ///   - perSecond: how fast a bucket fills.
  ///   - burst: how much it holds; at least 1.
  ///   - capacity: the most buckets kept.
  init(perSecond: Double, burst: Double, capacity: Int) {
    rate = Rate(perSecond: perSecond, burst: max(1, burst))
    self.capacity = capacity
  }

  var count: Int { buckets.count }

  /// Takes one from the key's bucket. `nil` when it may go on; otherwise how many seconds to wait, at least
  /// 1.
  mutating func secondsToWait(_ key: Key, now: Instant) -> Int? {
    if buckets[key] == nil, buckets.count >= capacity {
      sweep(now: now)
      if buckets.count >= capacity {
        var bucket = shared ?? Bucket(level: rate.burst, updated: now)
        defer { shared = bucket }
        return rate.take(from: &bucket, now: now)
      }
    }
    return rate.take(from: &buckets[key, default: Bucket(level: rate.burst, updated: now)], now: now)
  }

  /// At most once a second: it walks the whole table.
  private mutating func sweep(now: Instant) {
    if let swept, now - swept < .seconds(1) { return }
    swept = now
    buckets = buckets.filter { rate.level(of: $0.value, now: now) < rate.burst }
  }

  /// Apart from the table: a method of the limiter that changes a bucket in place would hold the limiter a
  /// second time, and the table would be copied for each request.
  private struct Rate {
    let perSecond: Double
    let burst: Double

    func take(from bucket: inout Bucket, now: Instant) -> Int? {
      bucket.level = level(of: bucket, now: now)
      bucket.updated = now
      guard bucket.level >= 1 else {
        return max(1, Int(((1 - bucket.level) / perSecond).rounded(.up)))
      }
      bucket.level -= 1
      return nil
    }

    func level(of bucket: Bucket, now: Instant) -> Double {
      let elapsed = Double((now - bucket.updated).wholeNanoseconds) / 1e9
      return min(burst, bucket.level + max(0, elapsed) * perSecond)
    }
  }
}
