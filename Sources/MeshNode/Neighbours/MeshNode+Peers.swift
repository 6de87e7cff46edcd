import MeshCrypto
public import MeshWire

extension MeshNode {
  /// Adds a peer, or changes what is known of one that was added before.
  public mutating func addPeer(_ entry: PeerEntry, now: Instant) throws(PeerRefusal) {
    carryWall(to: now)
    guard entry.peerID != ownPeerID else { throw .ownKey }
    if let keyHash = entry.keyHash, keyHash.peerID != entry.peerID { throw .keyHashDoesNotMatchPeerID }
    if let key = entry.publicKey, key.keyHash != entry.keyHash { throw .keyHashDoesNotMatchPeerID }
    let overlay = OverlayAddress(of: entry.peerID).value
    if let other = neighbours.slot(peerAt: overlay), neighbours.entries[other].peerID != entry.peerID {
      throw .addressCollision
    }
    let slot: Int
    if let known = neighbours.slot(entry.peerID) {
      if let pinned = neighbours.entries[known].pinned, let keyHash = entry.keyHash, pinned != keyHash {
        throw .otherKeyPinned
      }
      guard neighbours.entries[known].isPeer || neighbours.peerCount < NodeLimits.peers else { throw .full }
      slot = known
    } else {
      guard neighbours.peerCount < NodeLimits.peers else { throw .full }
      slot = neighbours.add(Neighbour(peerID: entry.peerID, now: now))
    }
    // Conversations that began under other permissions begin anew.
    if neighbours.entries[slot].entry?.inbound != entry.inbound { filter.forget(peer: overlay) }
    // What a hint has claimed is no pin.
    if !neighbours.entries[slot].isProved, neighbours.entries[slot].keyHash != entry.keyHash {
      endAttempt(slot)
      neighbours.entries[slot].keyHash = nil
      neighbours.entries[slot].dropHints()
    }
    let usual = configuration.relayHops
    let changesHops =
      neighbours.entries[slot].entry.map { $0.relayHops ?? usual != entry.relayHops ?? usual } ?? false
    neighbours.entries[slot].entry = entry
    neighbours.indexPeer(slot)
    notePathSizes()
    let known = entry.publicKey ?? records.record(entry.peerID)?.publicKey
    if let keyHash = entry.keyHash { neighbours.entries[slot].keyHash = keyHash }
    if let known, neighbours.entries[slot].keyHash == known.keyHash {
      neighbours.entries[slot].publicKey = known
    }
    if let key = neighbours.entries[slot].publicKey, entry.publicKey == nil {
      emit(.peerPinned(entry.peerID, key))
    }
    // The owner wants another chain than the one that stands, or is being built.
    if changesHops { forgetCircuit(to: entry.peerID, now: now) }
    if neighbours.entries[slot].isConnected {
      // It asked before whether we have it as a peer; now we have.
      sendControl(.ping(requests.anonymous()), slot: slot, now: now)
      if let ownRecord { sendControl(.announce(.init(bundle: ownRecord.bundle)), slot: slot, now: now) }
    } else if configuration.keepsPeersConnected {
      neighbours.entries[slot].retryAt = nil
      connect(slot, urgent: true, now: now)
    }
  }

  /// Forgets a peer and ends its session. Returns whether it was one.
  public mutating func removePeer(_ peerID: PeerID, now: Instant) -> Bool {
    guard let slot = neighbours.slot(peerID), neighbours.entries[slot].isPeer else { return false }
    endCurrent(slot, reason: "it was removed", now: now)
    forgetCircuit(to: peerID, now: now)
    // Closing circuits may have let other neighbours go, and moved this one.
    guard let slot = neighbours.slot(peerID) else { return true }
    failPings(of: peerID, slot: slot)
    endAttempt(slot)
    let removed = neighbours.remove(slot)
    if let lookup = removed.lookup { lookups.active[lookup] = nil }
    filter.forget(peer: removed.overlay)
    return true
  }
}
