import MeshCrypto
public import MeshWire

/// Secrets that someone may prove knowledge of, once; only their SHA-256 is kept.
struct InvitationTable {
  private struct Invitation {
    let index: Int
    let secretHash: [UInt8]
    let expires: WallTime
  }
  private var waiting: [Invitation] = []
  /// Taken a moment ago: the same node may ask again, because its answer was lost.
  private var taken: [(invitation: Invitation, by: KeyHash, until: WallTime)] = []
  private var next = 1

  /// What has expired goes only where its room is needed: the clock may be set right yet.
  mutating func add(secretHash: [UInt8], expires: WallTime, at wall: WallTime) -> Int? {
    if waiting.count >= NodeLimits.invitations { waiting.removeAll { $0.expires <= wall } }
    guard waiting.count < NodeLimits.invitations else { return nil }
    defer { next += 1 }
    waiting.append(Invitation(index: next, secretHash: secretHash, expires: expires))
    return next
  }

  enum Redemption: Equatable {
    case accepted(index: Int)
    /// The same node again.
    case repeated
    case refused
  }

  /// Takes the invitation with this secret out.
  mutating func redeem(_ secret: [UInt8], by keyHash: KeyHash, at wall: WallTime) -> Redemption {
    taken.removeAll { $0.until <= wall }
    let hash = Primitives.sha256(secret)
    let found = waiting.firstIndex { constantTimeEqual($0.secretHash, hash) }
    guard let position = found, waiting[position].expires > wall else {
      let isRepeated = taken.contains {
        $0.by == keyHash && constantTimeEqual($0.invitation.secretHash, hash)
      }
      return isRepeated ? .repeated : .refused
    }
    let invitation = waiting.remove(at: position)
    if taken.count >= NodeLimits.invitations { taken.removeFirst() }
    taken.append((invitation, keyHash, wall + .seconds(60)))
    return .accepted(index: invitation.index)
  }
}

extension MeshNode {
  /// Waits for someone to prove knowledge of a secret of which only the SHA-256 is kept. Returns its index,
  /// which `.inviteRedeemed` repeats, or `nil` when ``NodeLimits/invitations`` wait already.
  public mutating func addInvitation(secretHash: [UInt8], expires: WallTime) -> Int? {
    invitations.add(secretHash: secretHash, expires: expires, at: wall)
  }

  /// Proves knowledge of an invitation's secret (32 bytes) to a peer that was added. Ends in
  /// `.inviteAnswered` with what this returns, at the latest after 30 s; only a peer that is removed
  /// meanwhile is not heard of again. Another invitation of this peer that is being redeemed ends unanswered.
  @discardableResult
  public mutating func redeemInvitation(at peer: PeerID, secret: [UInt8], now: Instant) -> RedemptionID {
    let id = RedemptionID(number: takeNumber())
    guard let slot = neighbours.slot(peer), secret.count == ControlMessage.secretSize else {
      emit(.inviteAnswered(id, .refused))
      return id
    }
    if let other = neighbours.entries[slot].redeeming { emit(.inviteAnswered(other.id, .unanswered)) }
    neighbours.entries[slot].redeeming = Redeeming(
      id: id, secret: secret, until: now + Redeeming.timeout, next: now)
    neighbours.entries[slot].retryAt = nil
    connect(slot, urgent: true, now: now)
    redeemAgain(slot, now: now)
    return id
  }

  /// Shows the secret, once more if there was no answer.
  mutating func redeemAgain(_ slot: Int, now: Instant) {
    guard let redeeming = neighbours.entries[slot].redeeming else { return }
    if redeeming.until <= now {
      neighbours.entries[slot].redeeming = nil
      return emit(.inviteAnswered(redeeming.id, .unanswered))
    }
    guard redeeming.next <= now else { return }
    neighbours.entries[slot].redeeming?.next = now + Redeeming.interval
    let peer = neighbours.entries[slot].peerID
    guard neighbours.entries[slot].isConnected,
      let id = requests.add(.redeemInvite(redeeming.id), to: peer, now: now)
    else { return }
    sendControl(.redeemInvite(id, secret: redeeming.secret), slot: slot, now: now)
  }

  mutating func redeem(_ id: ControlMessage.RequestID, _ secret: [UInt8], slot: Int, now: Instant) {
    let neighbour = neighbours.entries[slot]
    // The key and the endpoint first: nothing is taken that can't be given to whoever adds the peer.
    guard let publicKey = neighbour.publicKey, let endpoint = neighbour.current?.endpoint else { return }
    let redemption = invitations.redeem(secret, by: publicKey.keyHash, at: wall)
    sendControl(.inviteAnswer(id, accepted: redemption != .refused), slot: slot, now: now)
    if case .accepted(let index) = redemption {
      emit(.inviteRedeemed(index: index, by: publicKey, at: endpoint))
    }
  }
}
