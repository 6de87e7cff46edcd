/// Why a handshake datagram, or a half-open handshake, was dropped. Each has a counter.
public enum HandshakeDrop: UInt8, CaseIterable, Sendable {
  /// A type, version, suite, index, count, length or padding that SMH1.md §2 doesn't have.
  case malformed
  /// An M1 whose mac1 doesn't prove knowledge of our KeyHash.
  case badMac1
  /// A Retry, M2a or Ack whose mac fails.
  case badMac
  /// A fragment of M2b or M3 that doesn't open.
  case unopened
  /// An id that names no handshake of ours, or one with another address.
  case unknownHandshake
  /// A fragment that is already held.
  case duplicate
  /// The same handshake and fragment with other bytes.
  case conflicting
  /// Nothing in common: no version or no suite.
  case noCommonSuite
  /// A fragment without a good cookie while cookies are demanded.
  case cookieDemanded
  /// All half-opens are taken.
  case halfOpensFull
  /// The half-opens of one prefix are taken.
  case prefixFull
  /// A datagram held back by the 3× rule.
  case amplification
  /// Not what the handshake waits for.
  case unexpected
  /// A Retry within a second of another.
  case retryTooSoon
  /// The key exchange was refused: a low-order point, a bad encapsulation key.
  case keyExchangeRefused
  /// KeyHash, public key or the expected identity disagree.
  case wrongIdentity
  /// A stranger who sent no public key.
  case missingPublicKey
  /// A finished value that doesn't match.
  case badFinished
  /// A signature that doesn't verify.
  case badSignature
  /// Refused by the session classes.
  case notAdmitted
  /// A half-open that ran out of time.
  case expired
  /// More transport packets before the end of the handshake than are kept.
  case earlyFull
  /// A repeated M3 sooner than the M4 may be repeated.
  case confirmationTooSoon
  /// A job that failed: a full pool, or the library.
  case jobFailed
}

/// Why a transport packet, or what was in it, was dropped. Each has a counter.
public enum TransportDrop: UInt8, CaseIterable, Sendable {
  /// Too short, a reserved byte that is not zero, or an unknown first plaintext byte.
  case malformed
  /// A receiver index that is none of ours, or whose keys are gone.
  case unknownIndex
  /// The tag doesn't hold.
  case unauthenticated
  /// A counter that came before, or that is below the window.
  case replayed
  /// A counter of 2^28 or more, or keys past their life.
  case expired
  /// A piece that disagrees with itself or with its siblings.
  case badPiece
  /// No room for another unfinished message.
  case piecesFull
  /// An unfinished message that ran out of time.
  case piecesExpired
  /// A rekey message of a wrong generation or size, or one that lost to ours.
  case rekeyRefused
  /// A path probe whose size isn't its own, or an answer to none.
  case probeRefused
  /// A path challenge of a wrong size, or an answer that is none: wrong bytes, or from another address.
  case challengeRefused
  /// A packet from yet another address within a second of the last one that led to a challenge.
  case challengeTooSoon
  /// A challenge held back by the 3× rule.
  case challengeWithheld
  /// A path check, or the answer to one, that has not the full size.
  case checkRefused
}

/// Why nothing was sealed. Each has a counter.
public enum SealRefusal: UInt8, CaseIterable, Sendable, Error {
  /// Over what two pieces (a packet) or twelve (a control message) carry.
  case tooLarge
  /// The keys have reached 180 s or 2^28 packets, or the session was superseded.
  case expired
  /// The output buffer is too small for the datagrams.
  case outputTooSmall
  /// An empty packet: that would be a keepalive.
  case empty
}

/// One 64-bit counter for each case of a reason.
public struct Tally<Reason: RawRepresentable & CaseIterable & Sendable>: Sendable
where Reason.RawValue == UInt8 {
  private var counts = InlineArray<26, UInt64>(repeating: 0)

  public init() {}

  public subscript(_ reason: Reason) -> UInt64 { counts[Int(reason.rawValue)] }

  /// The sum over all reasons.
  public var total: UInt64 {
    var sum: UInt64 = 0
    for index in counts.indices { sum &+= counts[index] }
    return sum
  }

  mutating func count(_ reason: Reason, _ amount: UInt64 = 1) { counts[Int(reason.rawValue)] &+= amount }
}
