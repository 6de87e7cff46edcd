public import MeshCrypto
public import MeshWire

/// All handshakes that others began with us: half-opens, cookies, bounds and the 3× rule (SMH1.md §3, §5, §7).
public struct ResponderTable {
  /// Datagrams and half-opens dropped, by reason.
  public private(set) var drops = Tally<HandshakeDrop>()

  /// - Parameters:
  ///   - suites: in the order of our own preference.
  ///   - secretSeed: 32 bytes of randomness: cookie secrets and responder ids are drawn from it.
  public init(
    own: IdentityPublicKey, limits: ResponderLimits = ResponderLimits(), alwaysDemandsCookie: Bool,
    suites: [AEADSuite] = AEADSuite.allCases, secretSeed: [UInt8], now: Instant
  ) {}

  /// Handshakes under way.
  public var halfOpenCount: Int { 0 }

  /// When ``advance(to:into:)`` is wanted next.
  public var nextDeadline: Instant? { nil }

  /// Takes a datagram of types 2, 6 or 7.
  ///
  /// - Parameters:
  ///   - queuedJobs: crypto jobs that wait, of the whole node: many of them make us demand cookies.
  ///   - freshIndex: a receiver index that no session of the node uses; not zero.
  ///   - admission: what the session classes say to a KeyHash, before anything asymmetric is computed for it.
  public mutating func receive(
    _ datagram: [UInt8], from source: Endpoint, now: Instant, queuedJobs: Int, freshIndex: () -> UInt32,
    admission: (KeyHash) -> Admission, into actions: inout [ResponderAction]
  ) {}

  /// Keeps a transport packet whose receiver index belongs to a half-open: at most 16 each, once the address is
  /// validated. Returns whether the index is one of ours; what is not kept is counted.
  public mutating func receiveEarly(_ datagram: Span<UInt8>, from source: Endpoint) -> Bool { false }

  /// Takes the result of a half-open's outstanding job. Results for half-opens that are gone are ignored.
  public mutating func computed(
    _ id: HalfOpenID, _ result: CryptoResult, now: Instant, into actions: inout [ResponderAction]
  ) {}

  /// Fires what is due.
  public mutating func advance(to now: Instant, into actions: inout [ResponderAction]) {}
}
