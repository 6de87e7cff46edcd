import Kademlia
import MeshSession
package import MeshWire

/// How full a node's bounded tables are, for whoever watches over the bounds.
package struct NodeLoad: Sendable, Hashable {
  package var halfOpens: Int
  package var controlSessions: Int
  package var peers: Int
  package var records: Int
  package var lookups: Int
  package var jobs: Int

  package init(halfOpens: Int, controlSessions: Int, peers: Int, records: Int, lookups: Int, jobs: Int) {
    self.halfOpens = halfOpens
    self.controlSessions = controlSessions
    self.peers = peers
    self.records = records
    self.lookups = lookups
    self.jobs = jobs
  }

  /// What is over its bound; `nil` when nothing is.
  package var excess: String? {
    let bounds = [
      ("half-open handshakes", halfOpens, ResponderLimits().halfOpens),
      ("control sessions", controlSessions, NodeLimits.controlSessions),
      ("peers", peers, NodeLimits.peers),
      ("records", records, NodeLimits.records),
      ("look-ups", lookups, NodeLimits.lookups),
    ]
    guard let over = bounds.first(where: { $0.1 > $0.2 }) else { return nil }
    return "\(over.1) \(over.0), at most \(over.2)"
  }
}

extension MeshNode {
  /// How full the tables are now.
  package var load: NodeLoad {
    NodeLoad(
      halfOpens: responders.halfOpenCount, controlSessions: neighbours.controlCount,
      peers: neighbours.peerCount, records: records.count, lookups: lookups.active.count, jobs: jobs.count)
  }

  /// Who is in the routing table, nearest bucket first.
  package var contacts: [PeerID] { table.contacts.map(\.peerID) }

  /// SHA-512 of the M1 of the session in use with a neighbour: both ends must come to the same.
  package func sessionHash(with peer: PeerID) -> [UInt8]? {
    neighbours.slot(peer).flatMap { neighbours.entries[$0].current?.session.handshakeHash }
  }
}
