import Kademlia
import MeshCrypto
import MeshNode
import MeshWire

/// What a node knows that has been there for long: its neighbourhood, a sample of the rest, and the records
/// of its contacts.
struct SettledNode {
  /// Nodes that it has met on the way, anywhere.
  static let strangers = 240
  /// And on either side of it in the order of PeerIDs.
  static let neighbours = 40

  let snapshot: NodeSnapshot

  init(_ member: MemberID, in census: Census, _ archive: inout Archive, now: Instant, chance: inout Chance) {
    let own = census.peerID(of: member)
    var table = RoutingTable(own: own, now: now)
    let met = (0..<Self.strangers).map { _ in census.founder(&chance) }
    for other in met + census.around(own, reach: Self.neighbours) where other != member {
      let contact = Contact(
        keyHash: census.keyHash(of: other), endpoint: census.endpoint(of: other), sequence: 1, lastSeen: now)
      _ = table.insert(contact, now: now)
    }
    let records = table.contacts.compactMap { census.member($0.peerID) }
      .map { archive.bundle(of: $0, in: census) }
    snapshot = NodeSnapshot(records: records, table: table.snapshot(now: now))
  }
}
