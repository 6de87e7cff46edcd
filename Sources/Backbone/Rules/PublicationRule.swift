import BackboneAPI
import MeshCrypto
import MeshWire

/// What is known of the record that stands under a PeerID.
struct KnownRecord: Hashable, Sendable {
  let keyHash: KeyHash
  let sequence: SequenceNumber
  /// SHA-256 of its signed body.
  let bodyDigest: [UInt8]
  let hasPrivatePart: Bool
}

/// Whether a verified record takes the place of the one that stands, without I/O.
enum PublicationRule {
  enum Decision: Hashable, Sendable {
    case store
    /// It is the one that stands.
    case unchanged
    case refuse(Problem.Kind)
  }

  /// - Parameters:
  ///   - record: verified: its own signature, key, times.
  ///   - publisher: the node whose token came with it.
  static func decide(_ record: PeerRecord, publisher: KeyHash, known: KnownRecord?) -> Decision {
    guard record.keyHash == publisher else { return .refuse(.notOwner) }
    guard let known else { return .store }
    guard known.keyHash == record.keyHash else { return .refuse(.peerIDTaken) }
    if record.body.sequence < known.sequence { return .refuse(.sequenceTooLow) }
    if record.body.sequence > known.sequence { return .store }
    guard record.bodyDigest == known.bodyDigest else { return .refuse(.sequenceReused) }
    return record.privatePart != nil && !known.hasPrivatePart ? .store : .unchanged
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
