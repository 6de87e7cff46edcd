import Kademlia
import MeshCrypto
import MeshWire

/// Look-ups under way.
struct LookupTable {
  /// How long the backbone may take before the peers are asked.
  static let backboneTimeout: Duration = .seconds(4)

  enum Purpose: Hashable {
    /// A person or program asked.
    case asked
    /// A neighbour is to be connected to.
    case connect
    /// A bucket of the routing table wants fresh contacts.
    case refresh
    /// The nodes nearest to ourselves are to hold our record.
    case publish

    /// Whether a record is looked for, and not only nodes.
    var wantsRecord: Bool { self == .asked || self == .connect }
  }

  enum Stage {
    case backbone(until: Instant)
    case peers(DisjointLookup)
    /// Its search is being changed.
    case busy
  }

  struct Active {
    let target: PeerID
    let purpose: Purpose
    let startedAt: Instant
    var stage: Stage
    /// Why the backbone couldn't be asked.
    var backboneTrouble: String?
    var peersAsked = 0
    /// Nodes on the way to the one whose answer is being checked, itself included.
    var hops: Int?
    /// Answers whose signatures are being checked.
    var verifying = 0
    var refusal: RecordRefusal?
    /// Why the last record that came isn't used, for a person.
    var refused: String?

    /// Why nothing was found, for a person. One refused record isn't all of it where the backbone, whose
    /// word would have counted, wasn't asked.
    var emptyBecause: String {
      guard let backboneTrouble else { return refused ?? "no record of it was found" }
      let story = "no record of it was found; the backbone could not be asked: \(backboneTrouble)"
      return refused.map { "\(story); \($0)" } ?? story
    }
  }

  var active: [LookupID: Active] = [:]

  var ids: [LookupID] { active.keys.sorted() }

  mutating func answered(_ id: LookupID, from peerID: PeerID, hints: [ContactHint], now: Instant) {
    _ = withLookup(id) { $0.answered(from: peerID, hints: hints, now: now) }
  }

  mutating func contactFailed(_ peerID: PeerID, now: Instant) {
    for id in ids { withLookup(id) { $0.failed(peerID, now: now) } }
  }

  /// Changes a search in place: what it has asked would be copied otherwise.
  mutating func withLookup<Result>(
    _ id: LookupID, _ body: (inout DisjointLookup) -> Result
  ) -> Result? {
    guard case .peers(var lookup)? = active[id]?.stage else { return nil }
    active[id]?.stage = .busy
    defer { active[id]?.stage = .peers(lookup) }
    return body(&lookup)
  }
}
