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
  }

  enum Stage {
    case backbone(until: Instant)
    case peers(Lookup)
  }

  struct Active {
    let target: PeerID
    let purpose: Purpose
    let startedAt: Instant
    var stage: Stage
    /// Why the backbone couldn't be asked.
    var backboneTrouble: String?
    var peersAsked = 0
    /// Answers whose signatures are being checked.
    var verifying = 0
    var refusal: RecordRefusal?
  }

  var active: [LookupID: Active] = [:]

  var ids: [LookupID] { active.keys.sorted() }

  mutating func answered(_ id: LookupID, from peerID: PeerID, hints: [ContactHint], now: Instant) {
    withLookup(id) { $0.answered(from: peerID, hints: hints, now: now) }
  }

  mutating func contactFailed(_ peerID: PeerID, now: Instant) {
    for id in ids { withLookup(id) { $0.failed(peerID, now: now) } }
  }

  private mutating func withLookup(_ id: LookupID, _ body: (inout Lookup) -> Void) {
    guard case .peers(var lookup) = active[id]?.stage else { return }
    body(&lookup)
    active[id]?.stage = .peers(lookup)
  }
}
