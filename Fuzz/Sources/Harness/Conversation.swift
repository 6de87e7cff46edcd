public import MeshCrypto
public import MeshSession
public import MeshWire

/// An initiator and a responder in one place, whose handshake is recorded datagram by datagram, so that a
/// target can begin anywhere in it and change anything.
public struct Conversation {
  /// One datagram of the recorded handshake.
  public struct Datagram: Sendable {
    public let toResponder: Bool
    public let bytes: [UInt8]
  }

  public static let initiatorIdentity = identity(1)
  public static let responderIdentity = identity(2)
  /// The initiator's, and a stranger's.
  public static let home = Endpoint(.v4(0xc000_0201), port: 8443)
  public static let elsewhere = Endpoint(.v4(0xc633_6401), port: 8443)

  public private(set) var initiator: Initiator
  public private(set) var responders: ResponderTable
  public private(set) var initiatorSession: Session?
  public private(set) var responderSession: Session?
  public var now = Instant(nanoseconds: 1 << 40)
  /// Asymmetric operations that may still be performed; further ones fail, as from a full pool.
  public var jobsLeft = 64
  /// Datagrams that wait to be delivered.
  public var outbox: [Datagram] = []
  /// UDP payload bytes to and from the stranger's address.
  public private(set) var strangerSent = 0
  public private(set) var strangerReceived = 0
  /// The stranger has sent something of the types that validate an address. It may have guessed the
  /// responder's id: in a recording that is no secret.
  public private(set) var strangerMayBeValidated = false
  private var nextIndex: UInt32 = 100

  private static func identity(_ number: UInt8) -> IdentityKey {
    guard let key = try? IdentityKey(seed: [UInt8](repeating: number, count: IdentityKey.seedSize)) else {
      preconditionFailure("a seed of 32 bytes is a key")
    }
    return key
  }

  public init(demandsCookie: Bool) {
    initiator = Initiator(
      responder: Self.responderIdentity.keyHash, responderKey: nil, own: Self.initiatorIdentity.publicKey,
      sendsPublicKey: true, suites: AEADSuite.allCases,
      entropy: InitiatorEntropy(
        id: 0x0102_0304_0506_0708, random: [UInt8](repeating: 3, count: 32), receiverIndex: 7, jitterSeed: 4),
      now: now)
    responders = ResponderTable(
      own: Self.responderIdentity.publicKey, alwaysDemandsCookie: demandsCookie,
      secretSeed: [UInt8](repeating: 5, count: 32), now: now)
    var actions: [HandshakeAction] = []
    initiator.start(now: now, into: &actions)
    perform(actions)
  }

  /// Plays the whole handshake and gives the state before each datagram.
  public static func recorded(demandsCookie: Bool) -> (states: [Conversation], datagrams: [Datagram]) {
    var conversation = Conversation(demandsCookie: demandsCookie)
    var states: [Conversation] = []
    var datagrams: [Datagram] = []
    while !conversation.outbox.isEmpty, datagrams.count < 64 {
      states.append(conversation)
      let next = conversation.outbox.removeFirst()
      datagrams.append(next)
      conversation.deliver(next.bytes, toResponder: next.toResponder, from: home)
    }
    states.append(conversation)
    return (states, datagrams)
  }

  // MARK: Inputs

  /// Hands over one datagram and does what follows from it.
  public mutating func deliver(_ bytes: [UInt8], toResponder: Bool, from source: Endpoint) {
    guard toResponder else {
      var actions: [HandshakeAction] = []
      initiator.receive(bytes, now: now, into: &actions)
      perform(actions)
      return
    }
    if source == Self.elsewhere {
      strangerSent += bytes.count
      if bytes.first == 6 || bytes.first == 7 { strangerMayBeValidated = true }
    }
    var actions: [ResponderAction] = []
    var index = nextIndex
    responders.receive(
      bytes, from: source, now: now, queuedJobs: 0,
      freshIndex: {
        index += 1
        return index
      },
      admission: { _ in .accept(knownKey: nil) }, into: &actions)
    nextIndex = index
    perform(actions)
  }

  /// A transport packet that may belong to a half-open.
  public mutating func deliverEarly(_ bytes: [UInt8], from source: Endpoint) {
    _ = responders.receiveEarly(bytes.span, from: source)
  }

  /// Lets time pass on both sides.
  public mutating func advance(by duration: Duration) {
    now = now + duration
    var actions: [HandshakeAction] = []
    initiator.advance(to: now, into: &actions)
    perform(actions)
    var answers: [ResponderAction] = []
    responders.advance(to: now, into: &answers)
    perform(answers)
  }

  // MARK: What follows

  private mutating func perform(_ actions: [HandshakeAction]) {
    var waiting = actions
    while !waiting.isEmpty {
      switch waiting.removeFirst() {
      case .send(let bytes): outbox.append(Datagram(toResponder: true, bytes: bytes))
      case .compute(let job):
        initiator.computed(result(of: job, with: Self.initiatorIdentity), now: now, into: &waiting)
      case .established(let session): initiatorSession = session
      case .failed, .dropped: break
      }
    }
  }

  private mutating func perform(_ actions: [ResponderAction]) {
    var waiting = actions
    while !waiting.isEmpty {
      switch waiting.removeFirst() {
      case .send(let bytes, let target):
        if target == Self.elsewhere { strangerReceived += bytes.count }
        if target == Self.home { outbox.append(Datagram(toResponder: false, bytes: bytes)) }
      case .compute(let id, let job):
        responders.computed(
          id, result(of: job, with: Self.responderIdentity), now: now, into: &waiting)
      case .established(let session, _, _, _): responderSession = session
      case .confirmAgain, .indexRetired, .dropped: break
      }
    }
  }

  private mutating func result(of job: CryptoJob, with identity: IdentityKey) -> CryptoResult {
    guard jobsLeft > 0 else { return .failed }
    jobsLeft -= 1
    return job.perform(with: identity)
  }
}
