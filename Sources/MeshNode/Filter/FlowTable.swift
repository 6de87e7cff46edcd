import MeshWire

/// A conversation as seen from our side. ICMPv6 echoes have their identifier for a local port.
struct FlowKey: Hashable {
  let remote: UInt128
  let protocolNumber: UInt8
  let localPort: UInt16
  let remotePort: UInt16
}

/// Conversations that we began: their replies may come in. Bounded; the oldest gives way, and is counted.
struct FlowTable {
  private var expiries: [FlowKey: Instant] = [:]
  /// Every key of ``expiries`` once, in the order in which they came; a ring once it is full.
  private var order: [FlowKey] = []
  private var oldest = 0
  private let capacity: Int
  private(set) var evictions: UInt64 = 0

  init(capacity: Int) {
    self.capacity = capacity
    expiries.reserveCapacity(capacity)
    order.reserveCapacity(capacity)
  }

  var count: Int { expiries.count }

  /// Idle times after which replies are strangers again. TCP's is RFC 5382's REQ-5 (2 h 4 min), UDP's is
  /// above RFC 4787's REQ-5 (2 min).
  private static func idleTime(_ protocolNumber: UInt8) -> Duration {
    switch protocolNumber {
    case 6: .seconds(7_440)
    case 17: .seconds(180)
    default: .seconds(60)
    }
  }

  /// Notes that we sent a packet of this flow.
  mutating func sent(_ key: FlowKey, now: Instant) {
    let expiry = now + Self.idleTime(key.protocolNumber)
    if expiries.updateValue(expiry, forKey: key) != nil { return }
    guard order.count == capacity else {
      order.append(key)
      return
    }
    let evicted = order[oldest]
    if let expiry = expiries.removeValue(forKey: evicted), expiry > now { evictions += 1 }
    order[oldest] = key
    oldest = (oldest + 1) % capacity
  }

  /// Whether a packet is a reply to one of ours.
  func expects(_ key: FlowKey, now: Instant) -> Bool {
    guard let expiry = expiries[key] else { return false }
    return expiry > now
  }

  /// Forgets all conversations with a peer: it was removed, or may do less than before.
  mutating func forget(remote: UInt128) {
    let kept = (order[oldest...] + order[..<oldest]).filter { $0.remote != remote }
    for key in order where key.remote == remote { expiries[key] = nil }
    order = kept
    order.reserveCapacity(capacity)
    oldest = 0
  }
}
