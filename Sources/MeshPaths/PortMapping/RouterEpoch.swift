import MeshWire

/// Tells from the seconds that a server counts whether it has started anew and lost its mappings: RFC 6887
/// §8.5, which RFC 6886 §3.6 agrees with.
struct RouterEpoch: Hashable {
  private var last: (server: UInt32, at: Instant)?

  /// Takes the epoch of a response. `false`: the server has lost what it knew.
  mutating func observe(_ epoch: UInt32, now: Instant) -> Bool {
    defer { last = (epoch, now) }
    guard let last else { return true }
    // A reordered response may be one second behind.
    guard Int64(epoch) + 1 >= Int64(last.server) else { return false }
    let client = max(0, (now - last.at).components.seconds)
    let server = Int64(epoch) - Int64(last.server)
    // Clocks may run one sixteenth apart, and each is rounded to seconds.
    return client + 2 >= server - server / 16 && server + 2 >= client - client / 16
  }

  static func == (a: RouterEpoch, b: RouterEpoch) -> Bool {
    a.last?.server == b.last?.server && a.last?.at == b.last?.at
  }

  func hash(into hasher: inout Hasher) {
    hasher.combine(last?.server)
    hasher.combine(last?.at)
  }
}
