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
  private var next = 1

  mutating func add(secretHash: [UInt8], expires: WallTime, at wall: WallTime) -> Int? {
    waiting.removeAll { $0.expires <= wall }
    guard waiting.count < NodeLimits.invitations else { return nil }
    defer { next += 1 }
    waiting.append(Invitation(index: next, secretHash: secretHash, expires: expires))
    return next
  }

  /// Takes the invitation with this secret out.
  mutating func redeem(_ secret: [UInt8], at wall: WallTime) -> Int? {
    waiting.removeAll { $0.expires <= wall }
    let hash = Primitives.sha256(secret)
    guard let position = waiting.firstIndex(where: { constantTimeEqual($0.secretHash, hash) }) else {
      return nil
    }
    return waiting.remove(at: position).index
  }
}

extension MeshNode {
  /// Waits for someone to prove knowledge of a secret of which only the SHA-256 is kept. Returns its index,
  /// which `.inviteRedeemed` repeats, or `nil` when ``NodeLimits/invitations`` wait already.
  public mutating func addInvitation(secretHash: [UInt8], expires: WallTime) -> Int? {
    invitations.add(secretHash: secretHash, expires: expires, at: wall)
  }

  /// Proves knowledge of an invitation's secret (32 bytes) to a peer that was added. Ends in
  /// `.inviteAnswered`, or in `.handshakeFailed` when no session comes about.
  public mutating func redeemInvitation(at peer: PeerID, secret: [UInt8], now: Instant) {
    guard let slot = neighbours.slot(peer), secret.count == ControlMessage.secretSize,
      let id = requests.add(.redeemInvite, to: peer, now: now)
    else { return emit(.inviteAnswered(peer, accepted: false)) }
    sendControl(.redeemInvite(id, secret: secret), slot: slot, now: now)
    connect(slot, urgent: true, now: now)
  }

  mutating func redeem(_ id: ControlMessage.RequestID, _ secret: [UInt8], slot: Int, now: Instant) {
    let index = invitations.redeem(secret, at: wall)
    sendControl(.inviteAnswer(id, accepted: index != nil), slot: slot, now: now)
    let neighbour = neighbours.entries[slot]
    if let index, let publicKey = neighbour.publicKey, let endpoint = neighbour.current?.endpoint {
      emit(.inviteRedeemed(index: index, by: publicKey, at: endpoint))
    }
  }
}
