import BackboneAPI
import MeshCrypto
import MeshWire

/// What publishing asks of a record: of the one that stands under a PeerID, and of the one that comes.
struct RecordSummary: Hashable, Sendable {
  let keyHash: KeyHash
  let sequence: SequenceNumber
  /// SHA-256 of its signed body.
  let bodyDigest: [UInt8]
  let hasPrivatePart: Bool
}

extension RecordSummary {
  /// What a record claims, before its signature is checked.
  init(_ record: UnverifiedPeerRecord) {
    self.init(
      keyHash: record.claimedKeyHash, sequence: record.claimedSequence, bodyDigest: record.bodyDigest,
      hasPrivatePart: record.hasPrivatePart)
  }
}

/// Whether a record takes the place of the one that stands, without I/O.
enum PublicationRule {
  enum Decision: Hashable, Sendable {
    case store
    /// It is the one that stands.
    case unchanged
    case refuse(Problem.Kind)
  }

  /// - Parameters:
  ///   - record: stored only once it is verified. The other decisions hold for one that isn't, too: what it
  ///     claims is then no reason to check its signature.
  ///   - publisher: the node whose token came with it.
  static func decide(_ record: RecordSummary, publisher: KeyHash, known: RecordSummary?) -> Decision {
    guard record.keyHash == publisher else { return .refuse(.notOwner) }
    guard let known else { return .store }
    guard known.keyHash == record.keyHash else { return .refuse(.peerIDTaken) }
    if record.sequence < known.sequence { return .refuse(.sequenceTooLow) }
    if record.sequence > known.sequence { return .store }
    guard record.bodyDigest == known.bodyDigest else { return .refuse(.sequenceReused) }
    return record.hasPrivatePart && !known.hasPrivatePart ? .store : .unchanged
  }
}

extension PeerRecord {
  /// SHA-256 of the signed body, as it stands in the bundle after its length.
  var bodyDigest: [UInt8] {
    let bundle = withoutPrivatePart.bundle
    let size = Int(bundle[0]) << 8 | Int(bundle[1])
    return Primitives.sha256(Array(bundle[2..<2 + size]))
  }
}
