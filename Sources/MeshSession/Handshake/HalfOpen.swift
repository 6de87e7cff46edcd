import MeshCrypto
import MeshWire

/// A handshake that someone began with us and that isn't over: its state, without the table's indexes.
struct HalfOpen {
  /// What its fragments are found by: the address they come from and the id the initiator chose.
  struct Origin: Hashable {
    let source: Endpoint
    let initiator: UInt64
  }

  let origin: Origin
  /// When the first fragment of M1 came.
  let begun: Instant
  var budget = AmplificationBudget()
  var m1: Reassembly
  var receiverIndex: UInt32 = 0
  var responderID: UInt64 = 0
  var macKey: [UInt8] = []
  var phase = Phase.collectingM1
  var m2 = OutgoingFragments([])
  var m3: Reassembly?
  /// Its M1 is the one that the initiator id is made of: whatever contradicts it is forged.
  var isNamed = false
  /// How often M2 went out again because M1 did.
  var resends = 0
  var early: [[UInt8]] = []
  var backoff: Backoff
  var expires: Instant

  enum Phase {
    case collectingM1
    /// The answering half of the key exchange is being computed.
    case answering(M1Body, AEADSuite)
    /// Our signature is being made.
    case signing(Exchange, th2: [UInt8])
    /// M2 is out; M3 comes in.
    case collectingM3(SentM2)
    /// I's signature is being verified.
    case verifying(SentM2, IdentityPublicKey, th5: [UInt8])
  }

  struct Exchange {
    let schedule: KeySchedule
    let m1: M1Body
    let m2a: M2aBody
    let encodedM2a: [UInt8]
  }

  /// What is needed of an M2 once it is out.
  struct SentM2 {
    let schedule: KeySchedule
    let suite: AEADSuite
    let peerIndex: UInt32
    let th3: [UInt8]
    let finished: [UInt8]
    let m3Key: AEADKey
  }

  init(_ origin: Origin, fragments: Int, jitterSeed: UInt64, now: Instant) {
    self.origin = origin
    begun = now
    m1 = Reassembly(count: fragments)
    backoff = Backoff(seed: jitterSeed)
    expires = now + Limits.unvalidatedLife
  }

  /// The 1,664 bytes without the padding.
  var m1Body: [UInt8] { Array(m1.body[..<Layout.m1BodySize]) }

  /// The address is the one that it says.
  mutating func validate(now: Instant) {
    guard !budget.isValidated else { return }
    budget.validate()
    progress(now: now)
    if case .collectingM3 = phase { backoff.restart(now: now) }
  }

  mutating func progress(now: Instant) {
    // Its initiator gives up after so long: who acknowledges still wants the place, and no session.
    if budget.isValidated { expires = min(now + Limits.validatedLife, begun + Limits.handshakeLife) }
  }

  /// A fragment of M1 came, perhaps again: its initiator is still waiting for M2, or is about to send M3.
  mutating func heardM1(now: Instant) {
    if !budget.isValidated { expires = min(now + Limits.unvalidatedLife, begun + Limits.handshakeLife) }
  }

  var deadline: Instant { earlier(backoff.next, expires) ?? expires }
}

/// A handshake completed as responder, remembered while its initiator may still repeat its M3 or someone its
/// M1.
struct CompletedHandshake {
  let origin: HalfOpen.Origin
  let responderID: UInt64
  let receiveIndex: UInt32
  let suite: AEADSuite
  let m3Key: AEADKey
  let until: Instant
  /// When M4 went out to its origin.
  var lastConfirmation: Instant
  /// And anywhere else. Counted apart, so that who repeats an M3 that it saw keeps none from its initiator.
  var lastElsewhere: Instant?
}
