public import MeshCrypto
public import MeshWire

/// What an ``Initiator`` wants done.
public enum HandshakeAction {
  /// To the endpoint of this attempt.
  case send([UInt8])
  /// At most one is outstanding; its result goes to ``Initiator/computed(_:now:into:)``.
  case compute(CryptoJob)
  /// May send data at once; unconfirmed until a packet opens.
  case established(Session)
  /// The attempt is over.
  case failed(HandshakeFailure)
  /// Something was ignored.
  case dropped(HandshakeDrop)
}

/// Why an initiator's attempt ended.
public enum HandshakeFailure: Error, Hashable, Sendable {
  /// 30 s went by.
  case timedOut
  /// An operation of our own failed.
  case jobFailed
}

/// The randomness of one attempt, drawn by the caller.
public struct InitiatorEntropy: Sendable {
  /// Names the attempt until its M1 is made.
  public let id: UInt64
  /// The 32 bytes that key the macs of what R answers in the clear.
  public let random: [UInt8]
  /// Where transport packets to us will be addressed; not zero.
  public let receiverIndex: UInt32
  /// Seeds the ±10 % jitter of the resending.
  public let jitterSeed: UInt64

  public init(id: UInt64, random: [UInt8], receiverIndex: UInt32, jitterSeed: UInt64) {
    precondition(random.count == Layout.randomSize && receiverIndex != 0, "SMH1.md §3")
    self.id = id
    self.random = random
    self.receiverIndex = receiverIndex
    self.jitterSeed = jitterSeed
  }
}

/// Names a half-open of a ``ResponderTable``.
public struct HalfOpenID: Hashable, Sendable, Comparable {
  public let number: UInt64
  public static func < (a: HalfOpenID, b: HalfOpenID) -> Bool { a.number < b.number }
}

/// What the caller says to the KeyHash that an M3 shows.
public enum Admission: Sendable {
  /// No session with this one; the half-open ends.
  case refuse
  /// Go on; the key if the caller holds it, for an M3 that came without.
  case accept(knownKey: IdentityPublicKey?)
}

/// Bounds of a ``ResponderTable``.
public struct ResponderLimits: Sendable {
  /// Half-opens in all.
  public var halfOpens: Int
  /// Half-opens of one /24 or /56.
  public var halfOpensPerPrefix: Int
  /// Half-opens, or queued crypto jobs, from which on cookies are demanded.
  public var cookieThreshold: Int

  public init(halfOpens: Int = 1_024, halfOpensPerPrefix: Int = 64, cookieThreshold: Int = 64) {
    self.halfOpens = halfOpens
    self.halfOpensPerPrefix = halfOpensPerPrefix
    self.cookieThreshold = cookieThreshold
  }
}

/// What a ``ResponderTable`` wants done.
public enum ResponderAction {
  case send([UInt8], to: Endpoint)
  /// At most one a half-open is outstanding; its result goes to ``ResponderTable/computed(_:_:now:into:)``.
  case compute(HalfOpenID, CryptoJob)
  /// The peer is authenticated. M4 has been sealed and stands among the actions before this one. `early`:
  /// transport packets that came too soon, to be given to ``Session/open(_:now:into:)``.
  case established(Session, peerKey: IdentityPublicKey, from: Endpoint, early: [[UInt8]])
  /// An M3 of a completed handshake came again: have the session with this receive index send M4
  /// to where it came from (``Session/confirm(at:now:into:)``). The session's address stays.
  case confirmAgain(receiveIndex: UInt32, to: Endpoint)
  /// The index that `freshIndex` gave goes unused.
  case indexRetired(UInt32)
  case dropped(HandshakeDrop)
}
