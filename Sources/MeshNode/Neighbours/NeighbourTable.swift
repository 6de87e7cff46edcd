import MeshSession
import MeshWire

/// The neighbours in one dense array, found by PeerID, by overlay address (peers only) and by receiver index.
struct NeighbourTable {
  /// Mutate in place: a neighbour holds replay windows and queues. Whatever is changed through this may
  /// change any deadline.
  var entries: ContiguousArray<Neighbour> {
    _read { yield entriesInPlace }
    _modify {
      deadlines.isStale = true
      yield &entriesInPlace
    }
  }
  /// The same, for the packet path alone: it says whom it touched instead.
  var entriesInPlace: ContiguousArray<Neighbour> = []
  /// When each neighbour wants attention.
  var deadlines = DeadlineTable()
  private var slots: [PeerID: Int] = [:]
  private var peersByAddress: [UInt128: Int] = [:]
  private var slotsByIndex: [UInt32: Int] = [:]

  func slot(_ peerID: PeerID) -> Int? { slots[peerID] }
  func slot(peerAt overlay: UInt128) -> Int? { peersByAddress[overlay] }
  func slot(receiverIndex: UInt32) -> Int? { slotsByIndex[receiverIndex] }
  func isTaken(_ index: UInt32) -> Bool { slotsByIndex[index] != nil }

  var peerCount: Int { peersByAddress.count }
  var peerIDs: Set<PeerID> { Set(peersByAddress.values.map { entries[$0].peerID }) }
  var controlCount: Int { entries.count - peersByAddress.count }

  mutating func add(_ neighbour: Neighbour) -> Int {
    entries.append(neighbour)
    slots[neighbour.peerID] = entries.count - 1
    if neighbour.isPeer { peersByAddress[neighbour.overlay] = entries.count - 1 }
    return entries.count - 1
  }

  /// Keeps the address index in step when a neighbour becomes a peer.
  mutating func indexPeer(_ slot: Int) { peersByAddress[entries[slot].overlay] = slot }

  mutating func route(_ index: UInt32, to slot: Int) { slotsByIndex[index] = slot }
  mutating func unroute(_ index: UInt32) { slotsByIndex[index] = nil }

  /// Takes a neighbour out. The last one moves into its slot, so slots are good only until the next removal.
  mutating func remove(_ slot: Int) -> Neighbour {
    let removed = entries[slot]
    for index in Self.indexes(of: removed) { slotsByIndex[index] = nil }
    slots[removed.peerID] = nil
    if peersByAddress[removed.overlay] == slot { peersByAddress[removed.overlay] = nil }
    let last = entries.removeLast()
    if slot < entries.count {
      entries[slot] = last
      slots[last.peerID] = slot
      if last.isPeer { peersByAddress[last.overlay] = slot }
      for index in Self.indexes(of: last) { slotsByIndex[index] = slot }
    }
    return removed
  }

  private static func indexes(of neighbour: Neighbour) -> [UInt32] {
    (neighbour.current?.session.receiveIndexes ?? []) + (neighbour.previous?.session.receiveIndexes ?? [])
  }
}
