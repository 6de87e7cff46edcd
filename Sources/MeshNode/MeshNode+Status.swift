import Kademlia
import MeshCrypto
import MeshPaths
import MeshRelay
import MeshSession
public import MeshWire

extension MeshNode {
  /// The node at a glance.
  public func status(now: Instant) -> NodeStatus {
    NodeStatus(
      keyHash: own.keyHash, peerID: ownPeerID, overlayAddress: OverlayAddress(of: ownPeerID),
      overlayMTU: overlayMTU,
      peers: neighbours.entries.filter(\.isPeer).sorted { $0.peerID < $1.peerID }.map {
        status(of: $0, now: now)
      },
      controlSessions: neighbours.entries.count { !$0.isPeer && $0.isConnected },
      tableContacts: table.contacts.count, cachedRecords: records.count, nat: stun.detection.findings,
      counters: countersWithRelay)
  }

  private var countersWithRelay: NodeCounters {
    var all = counters
    all.relayScoresForgotten = relays.selection.scoresForgotten
    guard let relayed = relay?.counters else { return all }
    all.cellsRelayed = relayed.cellsForward + relayed.cellsBackward
    all.bytesRelayed = relayed.bytes
    all.circuitsRelayed = relayed.circuitsOpened
    return all
  }

  private func status(of neighbour: Neighbour, now: Instant) -> PeerStatus {
    let state: PeerStatus.State =
      if neighbour.isConnected {
        neighbour.addedUs == false ? .unconfirmed : .connected
      } else if neighbour.attempt != nil {
        .connecting
      } else if neighbour.lookup != nil {
        .lookingUp
      } else {
        .idle
      }
    return PeerStatus(
      peerID: neighbour.peerID, keyHash: neighbour.keyHash,
      overlayAddress: OverlayAddress(of: neighbour.peerID), state: state, path: pathStatus(neighbour),
      trouble: neighbour.isConnected ? nil : neighbour.trouble,
      sessionAge: neighbour.current.map { now - $0.since }, lastHeard: neighbour.lastHeard.map { now - $0 },
      packetsIn: neighbour.packetsIn, packetsOut: neighbour.packetsOut, bytesIn: neighbour.bytesIn,
      bytesOut: neighbour.bytesOut)
  }
}
