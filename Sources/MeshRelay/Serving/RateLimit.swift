import MeshWire

/// So many bytes a second on the average, and a quarter of a second's worth at once.
struct TokenBucket {
  private(set) var level: Double
  private var updated: Instant

  init(full level: Double, now: Instant) {
    self.level = level
    updated = now
  }

  mutating func refill(rate: Double, burst: Double, now: Instant) {
    let elapsed = Double((now - updated).wholeNanoseconds) / 1e9
    if elapsed > 0 {
      level = min(burst, level + elapsed * rate)
      updated = now
    }
  }

  mutating func take(_ amount: Double) { level -= amount }
}

/// The offered rate as a ceiling over everything, and within it a fair share for each network, and in it for
/// each of its neighbours: keys cost nothing, and more of them win nothing.
///
/// While there is plenty (the common bucket at least half full) whoever asks gets; once it runs low, each
/// neighbour gets no more than the rate divided by the networks that have asked within the last second, and
/// by the neighbours in its own that have.
struct RateLimit {
  /// Cells that may go at once however low the rate is: a handshake needs a few.
  private static let leastBurst = 32.0 * 1_419

  let rate: Double
  private var common: TokenBucket
  private var shares: [PeerID: Share] = [:]
  /// How many of the neighbours are in each network.
  private var networks: [Network: Int] = [:]

  /// A /24 or /56; a neighbour whose address says nothing, as on one machine, is one of its own.
  private enum Network: Hashable {
    case prefix(IPAddress)
    case alone(PeerID)
  }

  private struct Share {
    let network: Network
    var bucket: TokenBucket
    var lastAsked: Instant
  }

  /// Nothing passes at all.
  private let isClosed: Bool

  init(rate: Double, now: Instant, isClosed: Bool = false) {
    self.rate = rate
    self.isClosed = isClosed
    common = TokenBucket(full: max(rate / 4, Self.leastBurst), now: now)
  }

  private var burst: Double { max(rate / 4, Self.leastBurst) }

  /// Whether `bytes` from this neighbour may go on now.
  mutating func admits(
    _ bytes: Int, from neighbour: PeerID, of prefix: IPAddress? = nil, now: Instant
  ) -> Bool {
    guard !isClosed else { return false }
    let network = shares[neighbour]?.network ?? prefix.map { .prefix($0) } ?? .alone(neighbour)
    let parts = Double(max(networks.count, 1) * max(networks[network] ?? 1, 1))
    let share = rate / parts
    let shareBurst = max(burst / parts, Self.leastBurst / 4)
    common.refill(rate: rate, burst: burst, now: now)
    if shares[neighbour] == nil {
      let bucket = TokenBucket(full: shareBurst, now: now)
      shares[neighbour] = Share(network: network, bucket: bucket, lastAsked: now)
      networks[network, default: 0] += 1
    }
    let amount = Double(bytes)
    shares[neighbour]?.bucket.refill(rate: share, burst: shareBurst, now: now)
    shares[neighbour]?.lastAsked = now
    guard common.level >= amount else { return false }
    let isPlenty = common.level >= burst / 2
    let own = shares[neighbour]?.bucket.level ?? 0
    guard isPlenty || own >= amount else { return false }
    common.take(amount)
    // What was free when there was plenty is not held against whoever took it later.
    if own >= amount { shares[neighbour]?.bucket.take(amount) }
    return true
  }

  /// Once a second: who has been quiet no longer counts.
  mutating func sweep(now: Instant) {
    shares = shares.filter { now - $0.value.lastAsked < .seconds(1) }
    networks = [:]
    for share in shares.values { networks[share.network, default: 0] += 1 }
  }

  /// Networks that the rate is shared among.
  var networkCount: Int { networks.count }

  /// Neighbours that a share is kept for: at most those that sent within the last second or two.
  var count: Int { shares.count }
}
