import MeshWire

/// What was asked of whom, so that an answer is taken from that neighbour only, once, and in time.
struct RequestTable {
  static let capacity = 1_024
  static let timeout: Duration = .seconds(10)

  enum Kind: Hashable {
    case ping(PingID)
    case findNode(LookupID)
    case getRecord(LookupID)
    /// A contact's own record.
    case contactRecord
    case redeemInvite(RedemptionID)
    case observe
    case reserve
  }

  private struct Pending {
    let kind: Kind
    let peerID: PeerID
    let sentAt: Instant
  }

  private var pending: [UInt32: Pending] = [:]
  private var next: UInt32 = 1

  /// An id for a request whose answer matters to nobody in particular.
  mutating func anonymous() -> ControlMessage.RequestID {
    defer { next = next == .max ? 1 : next + 1 }
    return ControlMessage.RequestID(number: next)
  }

  /// `nil` when the table is full.
  mutating func add(_ kind: Kind, to peerID: PeerID, now: Instant) -> ControlMessage.RequestID? {
    if pending.count >= Self.capacity { expire(now: now) }
    guard pending.count < Self.capacity else { return nil }
    let id = anonymous()
    pending[id.number] = Pending(kind: kind, peerID: peerID, sentAt: now)
    return id
  }

  /// The request that this answers, if it was asked of this neighbour.
  mutating func take(
    _ id: ControlMessage.RequestID, from peerID: PeerID
  ) -> (kind: Kind, sentAt: Instant)? {
    guard let request = pending[id.number], request.peerID == peerID else { return nil }
    pending[id.number] = nil
    return (request.kind, request.sentAt)
  }

  mutating func expire(now: Instant) { pending = pending.filter { now - $0.value.sentAt < Self.timeout } }
}
