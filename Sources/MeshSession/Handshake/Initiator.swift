public import MeshCrypto
public import MeshWire

/// One attempt at a handshake, as the side that begins (SMH1.md §3, §7). A value; one thread owns it.
public struct Initiator {
  /// The identity that was expected and, once established, proved.
  public let responder: KeyHash
  /// The initiator id: the first eight bytes after the head of every datagram for this attempt.
  public let id: UInt64
  /// Datagrams ignored, by reason.
  public private(set) var drops = Tally<HandshakeDrop>()

  /// - Parameters:
  ///   - responderKey: the public key behind `responder` when it is known already; asked for otherwise.
  ///   - sendsPublicKey: `false` when the responder is known to hold ours from an earlier session.
  ///   - suites: 1 to 4, preferred first.
  public init(
    responder: KeyHash, responderKey: IdentityPublicKey?, own: IdentityPublicKey, sendsPublicKey: Bool,
    suites: [AEADSuite], entropy: InitiatorEntropy, now: Instant
  ) {
    self.responder = responder
    id = entropy.id
  }

  /// The initiator id in a datagram of types 3, 4, 5 or 7 for an initiator, by which the caller finds the attempt.
  /// `nil` for anything else. Type 7 may be for a responder too: try both.
  public static func id(in datagram: Span<UInt8>) -> UInt64? { nil }

  /// When ``advance(to:into:)`` is wanted next.
  public var nextDeadline: Instant? { nil }

  /// Begins. Once.
  public mutating func start(now: Instant, into actions: inout [HandshakeAction]) {}

  /// Takes a datagram of types 3, 4, 5 or 7 that came from the responder's endpoint.
  public mutating func receive(
    _ datagram: [UInt8], now: Instant, into actions: inout [HandshakeAction]
  ) {}

  /// Takes the result of the outstanding job.
  public mutating func computed(
    _ result: CryptoResult, now: Instant, into actions: inout [HandshakeAction]
  ) {}

  /// The session reported `.confirmed`: nothing needs resending any more.
  public mutating func confirmed() {}

  /// Fires what is due.
  public mutating func advance(to now: Instant, into actions: inout [HandshakeAction]) {}
}
