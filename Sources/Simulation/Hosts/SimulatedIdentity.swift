public import MeshCrypto
import MeshWire

/// A host's identity: real keys, or a stand-in whose signatures anyone could make and nobody here forges.
///
/// Stand-ins have the sizes of the real thing, and are the same whenever a run is replayed.
public enum SimulatedIdentity: Sendable {
  case real(IdentityKey)
  case standIn(IdentityPublicKey)

  /// A stand-in whose public key is drawn from `chance`.
  public static func standIn(_ chance: inout Chance) -> SimulatedIdentity {
    guard let key = IdentityPublicKey(chance.bytes(IdentityPublicKey.size)) else {
      preconditionFailure("so many bytes are a key")
    }
    return .standIn(key)
  }

  public var publicKey: IdentityPublicKey {
    switch self {
    case .real(let key): key.publicKey
    case .standIn(let key): key
    }
  }

  /// Signs a record of the host's own.
  func sign(_ body: RecordBody, privatePart: RecordPrivatePart?) -> PeerRecord {
    do {
      switch self {
      case .real(let key): return try PeerRecord.sign(body, privatePart: privatePart, with: key)
      case .standIn(let key):
        return try PeerRecord.sign(body, privatePart: privatePart, by: key) { message in
          StandIn.signature(of: message, by: key, .peerRecord)
        }
      }
    } catch { preconditionFailure("a key that has signed before signs: \(error)") }
  }
}

/// Asymmetric operations that cost nothing and draw nothing from the system.
enum StandIn {
  /// Offers that are shown again and again: making one costs 0.1 ms, and each handshake differs by its own
  /// random bytes anyway.
  private static let offers: [KeyExchangeSecret] = {
    var chance = Chance(seed: 0x6f66_6665_7273)
    let offers = (0..<16).compactMap { _ in
      try? KeyExchangeSecret(x25519Seed: chance.bytes(32), mlkemSeed: chance.bytes(64))
    }
    precondition(!offers.isEmpty, "seeds of the right size make keys")
    return offers
  }()

  static func perform(_ job: CryptoJob, as key: IdentityPublicKey, chance: inout Chance) -> CryptoResult {
    switch job {
    case .makeOffer: return .offer(chance.pick(offers))
    case .answer(let offer):
      let block = chance.bytes(32)
      guard let answer = KeyExchangeAnswer(stretch(block, to: KeyExchangeAnswer.size)) else {
        return .failed
      }
      return shared(offer, answer).map { .answered(answer, $0) } ?? .failed
    case .open(let answer, let secret):
      return shared(secret.offer, answer).map { .opened($0) } ?? .failed
    case .sign(let message, let context): return .signed(StandIn.signature(of: message, by: key, context))
    case .verify(let signature, let message, let signer, let context):
      return .verified(signature == StandIn.signature(of: message, by: signer, context))
    case .verifyRecord(let record, let wall):
      do throws(RecordRefusal) {
        return .record(
          try record.verified(at: wall) { signer, signature, message in
            signature == StandIn.signature(of: message, by: signer, .peerRecord)
          })
      } catch { return .recordRefused(error) }
    }
  }

  /// Both sides have both messages.
  private static func shared(_ offer: KeyExchangeOffer, _ answer: KeyExchangeAnswer) -> SharedSecret? {
    SharedSecret(Primitives.sha512(offer.bytes + answer.bytes))
  }

  static func signature(
    of message: [UInt8], by key: IdentityPublicKey, _ context: SignatureContext
  ) -> [UInt8] {
    let block = Primitives.hmacSHA512(key: key.keyHash.bytes + context.bytes, message)
    return stretch(block, to: IdentityPublicKey.signatureSize)
  }

  /// Whether a record is one of a stand-in's.
  static func hasSigned(_ record: PeerRecord) -> Bool {
    guard let unverified = try? UnverifiedPeerRecord(bundle: record.bundle) else { return false }
    let verified = try? unverified.verified(
      at: unverified.plausibleTime(near: WallTime(secondsSinceEpoch: 0))
    ) {
      signer, signature, message in
      signature == StandIn.signature(of: message, by: signer, .peerRecord)
    }
    return verified != nil
  }

  private static func stretch(_ block: [UInt8], to size: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(size + block.count)
    while bytes.count < size { bytes += block }
    bytes.removeLast(bytes.count - size)
    return bytes
  }
}
