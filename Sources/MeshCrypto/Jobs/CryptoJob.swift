public import MeshWire

/// Names one asymmetric operation that a core asked for.
public struct CryptoTicket: Hashable, Sendable, Comparable {
  public let number: UInt64
  public init(number: UInt64) { self.number = number }
  public static func < (a: CryptoTicket, b: CryptoTicket) -> Bool { a.number < b.number }
}

/// An operation that costs a large part of a millisecond or draws randomness. A core never performs one: it
/// emits the job, the shell runs it on a bounded pool off the packet path, and the result comes back as an
/// input.
public enum CryptoJob: Sendable {
  /// Fresh ephemeral keys.
  case makeOffer
  /// The answering half of a key exchange.
  case answer(KeyExchangeOffer)
  /// The offering half, finished.
  case open(KeyExchangeAnswer, with: KeyExchangeSecret)
  /// A signature with the node's identity.
  case sign([UInt8], SignatureContext)
  /// A check of someone's signature.
  case verify(signature: [UInt8], of: [UInt8], by: IdentityPublicKey, SignatureContext)
  /// A check of a record from outside, at a wall time.
  case verifyRecord(UnverifiedPeerRecord, at: WallTime)

  /// Performs the operation. Pure but for the system randomness that it draws; call it on a pool thread.
  public func perform(with identity: IdentityKey) -> CryptoResult {
    switch self {
    case .makeOffer:
      do { return .offer(try KeyExchangeSecret()) } catch { return .failed }
    case .answer(let offer):
      do {
        let (answer, secret) = try KeyExchangeSecret.answer(offer)
        return .answered(answer, secret)
      } catch { return .failed }
    case .open(let answer, let keys):
      do { return .opened(try keys.open(answer)) } catch { return .failed }
    case .sign(let message, let context):
      do { return .signed(try identity.sign(message, context: context)) } catch { return .failed }
    case .verify(let signature, let message, let key, let context):
      return .verified(key.verifies(signature, of: message, context: context))
    case .verifyRecord(let record, let wall):
      do { return .record(try record.verified(at: wall)) } catch { return .recordRefused(error) }
    }
  }
}

/// What came of a ``CryptoJob``, case by case.
public enum CryptoResult: Sendable {
  case offer(KeyExchangeSecret)
  case answered(KeyExchangeAnswer, SharedSecret)
  case opened(SharedSecret)
  case signed([UInt8])
  case verified(Bool)
  case record(PeerRecord)
  case recordRefused(RecordRefusal)
  /// The operation was refused by its inputs, by the library, or by a full pool.
  case failed
}
