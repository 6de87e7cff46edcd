import MeshWire

/// Which create messages have come, for as long as their time is good: a second circuit with the same keys
/// would seal other bytes under the same nonces.
struct CreateMemory {
  private var tags: Set<UInt128> = []
  private var order: [(tag: UInt128, until: Instant)] = []
  private var head = 0

  var count: Int { tags.count }

  /// Whether this one is new, and there was room to remember it.
  mutating func admit(_ tag: UInt128, now: Instant) -> Bool {
    guard !tags.contains(tag), tags.count < RelayLimits.remembered else { return false }
    tags.insert(tag)
    order.append((tag, now + RelayLimits.replayMemory))
    return true
  }

  mutating func forget(now: Instant) {
    while head < order.count, order[head].until <= now {
      tags.remove(order[head].tag)
      head += 1
    }
    if head > 1_024 || head == order.count {
      order.removeFirst(head)
      head = 0
    }
  }
}

/// So many a second, in all and of one neighbour, counted in whole seconds.
struct CreateBudget {
  private var second: UInt64 = 0
  private var all = 0
  private var byNeighbour: [PeerID: Int] = [:]

  mutating func take(from neighbour: PeerID, limits: RelayLimits, now: Instant) -> Bool {
    let current = now.nanoseconds / 1_000_000_000
    if current != second {
      second = current
      all = 0
      byNeighbour.removeAll(keepingCapacity: true)
    }
    let own = byNeighbour[neighbour, default: 0]
    guard all < limits.createsPerSecond, own < limits.createsPerNeighbour else { return false }
    all += 1
    byNeighbour[neighbour] = own + 1
    return true
  }
}
