import MeshCrypto
import MeshSession
import MeshWire

/// A whole SMH/1 handshake between two cores in this process: every datagram of both sides, every job.
struct Handshake {
  let alice: IdentityKey
  let bob: IdentityKey
  private let address = Endpoint(.v4(0xc612_0114), port: 8_443)
  private let now = Instant(nanoseconds: 1_000_000_000)

  enum Failure: Error { case notEstablished }

  /// Mean processor time of one, in microseconds.
  static func measured(count: Int) throws -> Double {
    let pair = Handshake(alice: try IdentityKey(), bob: try IdentityKey())
    return try CPUClock.mean(count) { try pair.run() }
  }

  /// Runs one, from the first datagram until the initiator has opened the confirmation. Neither side knows
  /// the other's public key beforehand: the longest form.
  func run() throws {
    var initiator = Initiator(
      responder: bob.keyHash, responderKey: nil, own: alice.publicKey, sendsPublicKey: true,
      suites: [.aes256GCM],
      entropy: InitiatorEntropy(
        id: .random(in: 1 ... .max), random: (0..<32).map { _ in .random(in: 0...255) },
        receiverIndex: .random(in: 1 ... .max), jitterSeed: 1),
      now: now)
    var responder = ResponderTable(
      own: bob.publicKey, alwaysDemandsCookie: false, suites: [.aes256GCM],
      secretSeed: (0..<32).map { _ in .random(in: 0...255) }, now: now)
    var session: Session?
    var responderDone = false
    var toResponder: [[UInt8]] = []
    var toInitiator: [[UInt8]] = []
    var asked: [HandshakeAction] = []
    var answered: [ResponderAction] = []
    initiator.start(now: now, into: &asked)

    for _ in 0..<64 where !(responderDone && session?.isConfirmed == true) {
      while !asked.isEmpty || !answered.isEmpty {
        let actions = asked
        asked.removeAll()
        for action in actions {
          switch action {
          case .send(let datagram): toResponder.append(datagram)
          case .compute(let job): initiator.computed(job.perform(with: alice), now: now, into: &asked)
          case .established(let established): session = established
          case .failed, .dropped: throw Failure.notEstablished
          }
        }
        let answers = answered
        answered.removeAll()
        for answer in answers {
          switch answer {
          case .send(let datagram, _): toInitiator.append(datagram)
          case .compute(let id, let job):
            responder.computed(id, job.perform(with: bob), now: now, into: &answered)
          case .established: responderDone = true
          case .dropped: throw Failure.notEstablished
          case .confirmAgain, .indexRetired: break
          }
        }
      }
      for datagram in toResponder where datagram.first != 1 {
        responder.receive(
          datagram, from: address, now: now, queuedJobs: 0, freshIndex: { 77 },
          admission: { _ in .accept(knownKey: nil) }, into: &answered)
      }
      toResponder.removeAll()
      for datagram in toInitiator {
        if datagram.first == 1 {
          var bytes = datagram
          var actions: [SessionAction] = []
          var span = bytes.mutableSpan
          _ = session?.open(&span, now: now, into: &actions)
        } else {
          initiator.receive(datagram, now: now, into: &asked)
        }
      }
      toInitiator.removeAll()
    }
    guard responderDone, session?.isConfirmed == true else { throw Failure.notEstablished }
  }
}
