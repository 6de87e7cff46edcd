public import MeshCrypto
public import MeshWire

/// One attempt at a handshake, as the side that begins (SMH1.md §3, §7). A value; one thread owns it.
public struct Initiator {
  /// The identity that was expected and, once established, proved.
  public let responder: KeyHash
  /// The initiator id: datagrams for this attempt carry it in bytes 5 to 12. It is a hash of M1 once that is
  /// made; what the caller drew stands for it before.
  public internal(set) var id: UInt64
  /// Where transport packets to us will be addressed.
  public let receiverIndex: UInt32
  /// Datagrams ignored, by reason.
  public internal(set) var drops = Tally<HandshakeDrop>()

  let own: IdentityPublicKey
  let responderKey: IdentityPublicKey?
  let sendsPublicKey: Bool
  let suites: [AEADSuite]
  let random: [UInt8]
  let macKey: [UInt8]

  /// The responder's key, once it has signed for this handshake.
  public internal(set) var provedKey: IdentityPublicKey?
  /// Whether something has opened that only the responder can have sealed: its endpoint is known from then
  /// on.
  public var hasHeardResponder: Bool { provedKey != nil || m2.isProven }

  /// SHA-512 of the M1 body, as ``Session/handshakeHash``; `nil` before it is made.
  public var handshakeHash: [UInt8]? { m1.isEmpty ? nil : Primitives.sha512(m1) }

  var phase = Phase.idle
  var backoff: Backoff
  var givesUp: Instant
  /// The M1 in flight.
  var m1: [UInt8] = []
  var keys: KeyExchangeSecret?
  var cookie = [UInt8](repeating: 0, count: Layout.cookieSize)
  /// When the first of the last ``retriesTaken`` Retries came.
  var retriesSince: Instant?
  var retriesTaken = 0
  var m2 = IncomingM2()
  var fruitlessAcks = 0
  var m3 = OutgoingFragments([])

  /// Where an attempt stands.
  enum Phase {
    case idle
    case makingOffer
    /// M1 is in flight, M2 comes in.
    case collecting
    /// M2a is whole; the key exchange is being finished.
    case opening
    /// R's finished value holds; its signature is being verified.
    case verifying(VerifiedM2)
    /// Our own signature is being made.
    case signing(VerifiedM2, th4: [UInt8])
    /// M3 is in flight.
    case sending
    case over
  }

  /// What is needed of an M2 from its finished value on.
  struct VerifiedM2 {
    let schedule: KeySchedule
    let body: M2aBody
    let key: IdentityPublicKey
    let th3: [UInt8]
    let finished: [UInt8]
  }

  /// - Parameters:
  ///   - responderKey: the public key behind `responder` when it is known already; asked for otherwise.
  ///   - sendsPublicKey: `false` when the responder is known to hold ours from an earlier session.
  ///   - suites: 1 to 4, preferred first.
  public init(
    responder: KeyHash, responderKey: IdentityPublicKey?, own: IdentityPublicKey, sendsPublicKey: Bool,
    suites: [AEADSuite], entropy: InitiatorEntropy, now: Instant
  ) {
    precondition((1...Layout.m1MaximumOffered).contains(suites.count), "SMH1.md §3: 1 to 4 suites")
    self.responder = responder
    self.responderKey = responderKey?.keyHash == responder ? responderKey : nil
    self.own = own
    self.sendsPublicKey = sendsPublicKey
    self.suites = suites
    id = entropy.id
    receiverIndex = entropy.receiverIndex
    random = entropy.random
    macKey = Macs.clearKey(random: entropy.random)
    backoff = Backoff(seed: entropy.jitterSeed)
    givesUp = now + Limits.handshakeLife
  }

  /// The receiver id in a datagram of types 3, 4, 5 or 7, by which the caller finds the attempt; `nil` for
  /// anything else. A type 7 may be for a responder: when no attempt has this id, try the ``ResponderTable``.
  public static func id(in datagram: Span<UInt8>) -> UInt64? {
    guard datagram.count > Layout.headerSize, let kind = Layout.Kind(rawValue: datagram[0]),
      kind == .retry || kind == .m2a || kind == .m2b || kind == .ack
    else { return nil }
    var id: UInt64 = 0
    for index in 5..<Layout.headSize { id = id << 8 | UInt64(datagram[index]) }
    return id
  }

  /// When ``advance(to:into:)`` is wanted next.
  public var nextDeadline: Instant? {
    switch phase {
    case .idle, .over: nil
    case .collecting, .sending: earlier(backoff.next, givesUp)
    case .makingOffer, .opening, .verifying, .signing: givesUp
    }
  }

  /// Begins. Once.
  public mutating func start(now: Instant, into actions: inout [HandshakeAction]) {
    guard case .idle = phase else { return }
    phase = .makingOffer
    givesUp = now + Limits.handshakeLife
    actions.append(.compute(.makeOffer))
  }

  /// The session reported `.confirmed`: nothing needs resending any more.
  public mutating func confirmed() { phase = .over }

  /// Fires what is due.
  public mutating func advance(to now: Instant, into actions: inout [HandshakeAction]) {
    switch phase {
    case .idle, .over: return
    default: break
    }
    guard now < givesUp else {
      fail(.timedOut, &actions)
      return
    }
    guard backoff.isDue(now) else { return }
    switch phase {
    case .collecting: requestM2(now, &actions)
    case .sending:
      // Should all be acknowledged and the M4 be lost, one fragment brings it again.
      let missing = m3.missing
      for datagram in missing.isEmpty ? [m3.datagrams[0]] : missing { actions.append(.send(datagram)) }
      backoff.lengthen(now: now)
    default: return
    }
  }

  /// An Ack of what there is of M2, or M1 when there is no id to address an Ack to, or when Acks lead
  /// nowhere. Acks don't come more slowly with time: R forgets a half-open after 3 s without one.
  private mutating func requestM2(_ now: Instant, _ actions: inout [HandshakeAction]) {
    guard let responder = m2.responder else {
      sendM1(&actions)
      return backoff.lengthen(now: now)
    }
    backoff.restart(now: now)
    guard fruitlessAcks < Limits.fruitlessAcks else {
      m2.isDoubted = true
      fruitlessAcks = 0
      return sendM1(&actions)
    }
    fruitlessAcks += 1
    let ack = HandshakeDatagram.ack(m2.bitmap, suite: m2.suite ?? 0, receiver: responder, macKey: macKey)
    actions.append(.send(ack))
  }

  /// The datagrams of M1 while nobody has answered it: for an endpoint that has become known since. Empty
  /// before it is made, and after.
  public var firstMessage: [[UInt8]] {
    guard case .collecting = phase, m2.responder == nil else { return [] }
    var actions: [HandshakeAction] = []
    sendM1(&actions)
    return actions.compactMap { if case .send(let datagram) = $0 { datagram } else { nil } }
  }

  func sendM1(_ actions: inout [HandshakeAction]) {
    let count = responderKey == nil ? 3 : 2
    let key = Macs.mac1Key(responder: responder)
    for index in 0..<count {
      let datagram = M1Datagram.encode(
        body: m1, index: index, count: count, initiator: id, cookie: cookie, mac1Key: key)
      actions.append(.send(datagram))
    }
  }

  mutating func fail(_ failure: HandshakeFailure, _ actions: inout [HandshakeAction]) {
    phase = .over
    actions.append(.failed(failure))
  }

  mutating func drop(_ reason: HandshakeDrop, _ actions: inout [HandshakeAction]) {
    drops.count(reason)
    actions.append(.dropped(reason))
  }
}

/// What has come of an M2: two fragments in the clear, and those that need the first two to be opened.
struct IncomingM2 {
  var clear = Reassembly(count: Layout.m2aCount)
  /// The suite that all headers name.
  var suite: UInt8?
  /// Fragments of M2b whose key isn't known yet: at most seven.
  var pending: [HandshakeDatagram?] = []
  var sealed: Reassembly?
  var opened: (schedule: KeySchedule, body: M2aBody, key: AEADKey)?
  var unopened = 0
  /// R may have forgotten its half-open, so that another M2a may take the place of this one. Until one comes,
  /// what is here is kept: R may as well send nothing but what it knows to be missing.
  var isDoubted = false

  /// The responder id, once its fragment is here.
  var responder: UInt64? { clear.parts[0]?.bigEndian64(at: 0) }

  /// What an Ack says: bits 0 and 1 for M2a, bits 2 to 8 for M2b.
  var bitmap: UInt16 {
    var bits = clear.bitmap
    for (index, datagram) in pending.enumerated() where datagram != nil { bits |= 4 << UInt16(index) }
    if let sealed { bits |= sealed.bitmap << 2 }
    return bits
  }

  /// Whether anything under its keys has opened, which nobody but the other end of the key exchange can bring
  /// about.
  var isProven: Bool { sealed.map { !$0.isEmpty } ?? false }
}
