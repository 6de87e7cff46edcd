import MeshCrypto
import MeshWire
import Testing

@testable import MeshSession

enum Identities {
  static let alice = key(1)
  static let bob = key(2)
  static let mallory = key(3)

  static func key(_ number: UInt8) -> IdentityKey {
    try! IdentityKey(seed: [UInt8](repeating: number, count: 32))  // why: a seed of the right size
  }
}

/// One end: what a node does around the session core, and no more.
final class Node {
  let identity: IdentityKey
  let endpoint: Endpoint
  var table: ResponderTable
  var initiator: Initiator?
  var sessions: [Session] = []
  var nextIndex: UInt32
  var admission: (KeyHash) -> Admission = { _ in .accept(knownKey: nil) }
  var queuedJobs = 0

  var outbox: [(datagram: [UInt8], to: Endpoint)] = []
  var jobs: [CryptoJob] = []
  var packets: [[UInt8]] = []
  var cells: [[UInt8]] = []
  var controls: [[UInt8]] = []
  var drops: [HandshakeDrop] = []
  var transportDrops: [TransportDrop] = []
  var failures: [HandshakeFailure] = []
  var wishes: [HandshakeReason] = []
  var confirmations = 0
  var retired: [UInt32] = []
  var peerEndpoint: Endpoint?
  var challengesWanted = 0
  var moves: [Endpoint] = []
  var checksFrom: [Endpoint] = []
  var checkAnswers: [(id: UInt64, from: Endpoint)] = []
  /// Lets a test change what a job yields.
  var tamper: (CryptoJob, CryptoResult) -> CryptoResult = { $1 }
  /// Takes the place of asymmetric cryptography.
  var canned: CannedCrypto?

  init(
    _ identity: IdentityKey, _ endpoint: Endpoint, alwaysDemandsCookie: Bool = false,
    limits: ResponderLimits = ResponderLimits(), suites: [AEADSuite] = AEADSuite.allCases,
    firstIndex: UInt32 = 100, now: Instant
  ) {
    self.identity = identity
    self.endpoint = endpoint
    nextIndex = firstIndex
    table = ResponderTable(
      own: identity.publicKey, limits: limits, alwaysDemandsCookie: alwaysDemandsCookie, suites: suites,
      secretSeed: [UInt8](repeating: UInt8(firstIndex & 0xff), count: 32), now: now)
  }

  func freshIndex() -> UInt32 {
    nextIndex += 1
    return nextIndex
  }

  var session: Session? { sessions.last }

  func perform(_ job: CryptoJob) -> CryptoResult {
    jobs.append(job)
    return tamper(job, canned?.perform(job) ?? job.perform(with: identity))
  }

  func begin(
    with peer: Node, knownKey: Bool, sendsPublicKey: Bool, suites: [AEADSuite] = [.aes256GCM],
    id: UInt64 = 0x0102_0304_0506_0708, now: Instant
  ) {
    peerEndpoint = peer.endpoint
    let entropy = InitiatorEntropy(
      id: id, random: [UInt8](repeating: UInt8(truncatingIfNeeded: id), count: 32),
      receiverIndex: freshIndex(), jitterSeed: id)
    var initiator = Initiator(
      responder: peer.identity.keyHash, responderKey: knownKey ? peer.identity.publicKey : nil,
      own: identity.publicKey, sendsPublicKey: sendsPublicKey, suites: suites, entropy: entropy, now: now)
    var actions: [HandshakeAction] = []
    initiator.start(now: now, into: &actions)
    self.initiator = initiator
    handle(actions, now)
  }

  func receive(_ datagram: [UInt8], from source: Endpoint, now: Instant) {
    switch datagram.first {
    case 1: receiveTransport(datagram, from: source, now: now)
    case 2, 6: receiveAsResponder(datagram, from: source, now: now)
    case 7 where Initiator.id(in: datagram.span) != initiator?.id:
      receiveAsResponder(datagram, from: source, now: now)
    default:
      guard Initiator.id(in: datagram.span) == initiator?.id, source == peerEndpoint else { return }
      var actions: [HandshakeAction] = []
      initiator?.receive(datagram, now: now, into: &actions)
      handle(actions, now)
    }
  }

  private func receiveAsResponder(_ datagram: [UInt8], from source: Endpoint, now: Instant) {
    var actions: [ResponderAction] = []
    table.receive(
      datagram, from: source, now: now, queuedJobs: queuedJobs, freshIndex: freshIndex,
      admission: { admission($0) }, into: &actions)
    handle(actions, now)
  }

  private func receiveTransport(_ datagram: [UInt8], from source: Endpoint, now: Instant) {
    guard datagram.count >= 8 else { return }
    let index = datagram[4..<8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    guard let position = sessions.firstIndex(where: { $0.receiveIndexes.contains(index) }) else {
      if !table.receiveEarly(datagram.span, from: source) { transportDrops.append(.unknownIndex) }
      return
    }
    open(datagram, position, from: source, now)
  }

  func open(_ datagram: [UInt8], _ position: Int, from source: Endpoint? = nil, _ now: Instant) {
    var datagram = datagram
    var actions: [SessionAction] = []
    var span = datagram.mutableSpan
    let arrival = source.flatMap { from in peerEndpoint.map { Arrival(from: from, endpoint: $0) } }
    let outcome = sessions[position].open(&span, arrival: arrival, now: now, into: &actions)
    switch outcome {
    case .packet(let range): packets.append(Array(datagram[range]))
    case .assembled(let packet): packets.append(packet)
    case .cell(let range): cells.append(Array(datagram[range]))
    case .assembledCell(let cell): cells.append(cell)
    case .control(let message): controls.append(message)
    case .dropped(let reason): transportDrops.append(reason)
    case .keepalive, .handled: break
    }
    handle(actions, position, now)
  }

  @discardableResult
  func send(_ packet: [UInt8], now: Instant) -> SealOutcome {
    var output = [UInt8](repeating: 0, count: packet.count + 128)
    guard let position = sessions.indices.last, let peerEndpoint else { return .refused(.expired) }
    var span = output.mutableSpan
    let outcome = sessions[position].seal(packet.span, into: &span, now: now)
    switch outcome {
    case .one(let count): outbox.append((Array(output[..<count]), peerEndpoint))
    case .two(let first, let second):
      outbox.append((Array(output[..<first]), peerEndpoint))
      outbox.append((Array(output[first..<first + second]), peerEndpoint))
    case .refused: break
    }
    return outcome
  }

  func send(control message: [UInt8], now: Instant) {
    guard let position = sessions.indices.last else { return }
    var actions: [SessionAction] = []
    _ = sessions[position].send(control: message, now: now, into: &actions)
    handle(actions, position, now)
  }

  func advance(to now: Instant) {
    var handshake: [HandshakeAction] = []
    initiator?.advance(to: now, into: &handshake)
    handle(handshake, now)
    var responder: [ResponderAction] = []
    table.advance(to: now, into: &responder)
    handle(responder, now)
    for position in sessions.indices {
      var actions: [SessionAction] = []
      sessions[position].advance(to: now, freshIndex: freshIndex, into: &actions)
      handle(actions, position, now)
    }
  }

  var nextDeadline: Instant? {
    var next = earlier(initiator?.nextDeadline, table.nextDeadline)
    for session in sessions { next = earlier(next, session.nextDeadline) }
    return next
  }

  func handle(_ actions: [HandshakeAction], _ now: Instant) {
    for action in actions {
      switch action {
      case .send(let datagram):
        if let peerEndpoint { outbox.append((datagram, peerEndpoint)) }
      case .compute(let job):
        // Before the core is touched: a test may look at it meanwhile.
        let result = perform(job)
        var more: [HandshakeAction] = []
        initiator?.computed(result, now: now, into: &more)
        handle(more, now)
      case .established(let session): sessions.append(session)
      case .failed(let failure): failures.append(failure)
      case .dropped(let reason): drops.append(reason)
      }
    }
  }

  func handle(_ actions: [ResponderAction], _ now: Instant) {
    for action in actions {
      switch action {
      case .send(let datagram, let endpoint): outbox.append((datagram, endpoint))
      case .compute(let id, let job):
        // Before the core is touched: a test may look at it meanwhile.
        let result = perform(job)
        var more: [ResponderAction] = []
        table.computed(id, result, now: now, into: &more)
        handle(more, now)
      case .established(let session, _, let from, let early):
        peerEndpoint = from
        sessions.append(session)
        for datagram in early { open(datagram, sessions.count - 1, now) }
      case .confirmAgain(let index, let endpoint):
        guard let position = sessions.firstIndex(where: { $0.receiveIndexes.contains(index) }) else {
          continue
        }
        var more: [SessionAction] = []
        sessions[position].confirm(at: endpoint, now: now, into: &more)
        handle(more, position, now)
      case .indexRetired(let index): retired.append(index)
      case .dropped(let reason): drops.append(reason)
      }
    }
  }

  func handle(_ actions: [SessionAction], _ position: Int, _ now: Instant) {
    for action in actions {
      switch action {
      case .send(let datagram), .sendProbe(let datagram):
        if let peerEndpoint { outbox.append((datagram, peerEndpoint)) }
      case .compute(let job):
        // Before the core is touched: a test may look at it meanwhile.
        let result = perform(job)
        var more: [SessionAction] = []
        sessions[position].computed(result, now: now, freshIndex: freshIndex, into: &more)
        handle(more, position, now)
      case .confirmed:
        confirmations += 1
        initiator?.confirmed()
      case .sendElsewhere(let datagram, let endpoint): outbox.append((datagram, endpoint))
      case .wantsChallenge(let endpoint, let received):
        challengesWanted += 1
        var more: [SessionAction] = []
        sessions[position].challenge(
          endpoint, bytes: [UInt8](repeating: UInt8(challengesWanted), count: 8), received: received,
          now: now, into: &more)
        handle(more, position, now)
      case .moved(let endpoint):
        peerEndpoint = endpoint
        moves.append(endpoint)
      case .checked(let id, let endpoint):
        checksFrom.append(endpoint)
        var more: [SessionAction] = []
        sessions[position].answerCheck(id, to: endpoint, now: now, into: &more)
        handle(more, position, now)
      case .checkAnswered(let id, let endpoint): checkAnswers.append((id, endpoint))
      case .wantsHandshake(let reason): wishes.append(reason)
      case .indexRetired(let index): retired.append(index)
      case .indexAdded, .expired, .pathPayload: break
      case .dropped(let reason): transportDrops.append(reason)
      }
    }
  }
}

/// Two nodes and what lies between them.
final class World {
  struct Sent {
    let fromAlice: Bool
    let bytes: [UInt8]
    let at: Instant
    var kind: UInt8 { bytes[0] }
  }

  static let start = Instant(nanoseconds: 1_000_000_000_000)
  static let latency = Duration.milliseconds(20)

  var now = World.start
  let alice: Node
  let bob: Node
  /// Everything that was handed to the network, delivered or not.
  var sent: [Sent] = []
  /// When to deliver a datagram: no moment loses it, two duplicate it.
  var fate: (_ number: Int, _ sent: Sent) -> [Duration] = { _, _ in [World.latency] }
  private var flying: [(at: Instant, number: Int, toBob: Bool, bytes: [UInt8])] = []
  private var number = 0

  init(
    alwaysDemandsCookie: Bool = false, limits: ResponderLimits = ResponderLimits(),
    bobSuites: [AEADSuite] = AEADSuite.allCases
  ) {
    alice = Node(
      Identities.alice, Endpoint(.v4(0xc000_0201), port: 1_000), firstIndex: 100, now: World.start)
    bob = Node(
      Identities.bob, Endpoint(.v4(0xc633_6401), port: 8_443), alwaysDemandsCookie: alwaysDemandsCookie,
      limits: limits, suites: bobSuites, firstIndex: 5_000, now: World.start)
  }

  func begin(
    knownKey: Bool = true, sendsPublicKey: Bool = true, suites: [AEADSuite] = [.aes256GCM],
    id: UInt64 = 0x0102_0304_0506_0708
  ) {
    if !sendsPublicKey {
      let key = alice.identity.publicKey
      bob.admission = { _ in .accept(knownKey: key) }
    }
    alice.begin(
      with: bob, knownKey: knownKey, sendsPublicKey: sendsPublicKey, suites: suites, id: id, now: now)
  }

  private func collect() {
    for (node, fromAlice) in [(alice, true), (bob, false)] {
      for (datagram, to) in node.outbox {
        let record = Sent(fromAlice: fromAlice, bytes: datagram, at: now)
        sent.append(record)
        guard to == (fromAlice ? bob.endpoint : alice.endpoint) else { continue }
        for delay in fate(number, record) { flying.append((now + delay, flying.count, fromAlice, datagram)) }
        number += 1
      }
      node.outbox = []
    }
    // Stable, so that datagrams of one moment keep their order.
    flying.sort { ($0.at, $0.number) < ($1.at, $1.number) }
    for index in flying.indices { flying[index].number = index }
  }

  /// Runs until `done` holds or `duration` is over. Returns whether it held.
  @discardableResult
  func run(for duration: Duration, until done: () -> Bool = { false }) -> Bool {
    let end = now + duration
    var steps = 0
    while true {
      collect()
      if done() { return true }
      let deadline = earlier(alice.nextDeadline, bob.nextDeadline)
      guard let next = earlier(flying.first?.at, deadline), next <= end else {
        now = end
        return done()
      }
      // A timer that is due whenever it has fired would keep a test from ever failing.
      steps = next <= now ? steps + 1 : 0
      guard steps < 10_000 else {
        Issue.record("time stands still: a timer is due again and again")
        return false
      }
      now = max(now, next)
      if let first = flying.first, first.at <= now {
        flying.removeFirst()
        let source = first.toBob ? alice.endpoint : bob.endpoint
        (first.toBob ? bob : alice).receive(first.bytes, from: source, now: now)
      } else {
        alice.advance(to: now)
        bob.advance(to: now)
      }
    }
  }

  var isEstablished: Bool { alice.session?.isConfirmed == true && bob.session != nil }

  /// A handshake over a faultless network.
  static func connected(
    suite: AEADSuite = .aes256GCM, knownKey: Bool = true, alwaysDemandsCookie: Bool = false
  ) -> World {
    let world = World(alwaysDemandsCookie: alwaysDemandsCookie)
    world.begin(knownKey: knownKey, suites: [suite])
    world.run(for: .seconds(2)) { world.isEstablished }
    return world
  }

  func sentCount(_ kind: UInt8, fromAlice: Bool) -> Int {
    sent.count { $0.kind == kind && $0.fromAlice == fromAlice }
  }
}
