import MeshCrypto
import MeshSession
import MeshWire

/// The session core on a loopback socket: just enough of a node to be held against the Python peer. Every
/// job is performed on the spot.
///
/// Lines: `connect PORT KEYHASH [PUBLICKEY]`, `packet KEYHASH HEX`, `control KEYHASH HEX`, `refuse KEYHASH`.
struct SessionPeer: Driven {
  private struct Live {
    var session: Session
    var endpoint: Endpoint
    /// The attempt that it came from, when we began it.
    let attempt: UInt64?
  }

  private let socket: LoopbackSocket
  private let identity: IdentityKey
  private let suites: [AEADSuite]
  private var table: ResponderTable
  /// By a number of ours: an attempt's own id is known only once its M1 is made.
  private var attempts: [UInt64: (initiator: Initiator, endpoint: Endpoint)] = [:]
  private var sessions: [Int: Live] = [:]
  private var routes: [UInt32: Int] = [:]
  private var refused: Set<KeyHash> = []
  private var knownKeys: [KeyHash: IdentityPublicKey] = [:]
  private var nextSession = 0

  init(
    identity: IdentityKey, suites: [AEADSuite], demandsCookies: Bool, socket: LoopbackSocket, now: Instant
  ) {
    self.identity = identity
    self.suites = suites
    self.socket = socket
    table = ResponderTable(
      own: identity.publicKey, alwaysDemandsCookie: demandsCookies, suites: suites,
      secretSeed: InteropPeer.random(32), now: now)
  }

  private static func freshIndex() -> UInt32 { .random(in: 1...UInt32.max) }

  // MARK: What the test asks for

  mutating func obey(_ words: [String], now: Instant) -> Bool {
    let place = words.first == "connect" ? 2 : 1
    guard words.count > place, let keyHash = KeyHash(hex: words[place]) else { return false }
    let last = words.count > 2 ? [UInt8](hex: words[words.count - 1]) ?? [] : []
    switch (words[0], words.count) {
    case ("connect", 3...4):
      guard let port = UInt16(words[1]) else { return false }
      let endpoint = Endpoint(IPAddress.v4(0x7f00_0001), port: port)
      connect(to: keyHash, key: IdentityPublicKey(last), at: endpoint, now: now)
    case ("packet", 3): send(packet: last, to: keyHash, now: now)
    case ("control", 3): send(control: last, to: keyHash, now: now)
    case ("refuse", 2): refused.insert(keyHash)
    default: return false
    }
    return true
  }

  private mutating func connect(
    to keyHash: KeyHash, key: IdentityPublicKey?, at endpoint: Endpoint, now: Instant
  ) {
    let entropy = InitiatorEntropy(
      id: .random(in: 0...UInt64.max), random: InteropPeer.random(32), receiverIndex: Self.freshIndex(),
      jitterSeed: .random(in: 0...UInt64.max))
    var initiator = Initiator(
      responder: keyHash, responderKey: key, own: identity.publicKey, sendsPublicKey: true, suites: suites,
      entropy: entropy, now: now)
    var actions: [HandshakeAction] = []
    initiator.start(now: now, into: &actions)
    attempts[entropy.id] = (initiator, endpoint)
    perform(actions, of: entropy.id, now: now)
  }

  private mutating func send(packet: [UInt8], to keyHash: KeyHash, now: Instant) {
    guard let id = newest(of: keyHash) else { return StandardStreams.print("error no-session") }
    var output = [UInt8](repeating: 0, count: packet.count + 128)
    var span = output.mutableSpan
    let outcome = sessions[id]?.session.seal(packet.span, into: &span, now: now)
    guard let endpoint = sessions[id]?.endpoint else { return }
    switch outcome {
    case .one(let count): socket.send(Array(output[..<count]), to: endpoint)
    case .two(let first, let second):
      socket.send(Array(output[..<first]), to: endpoint)
      socket.send(Array(output[first..<(first + second)]), to: endpoint)
    case .refused(let reason): StandardStreams.print("refused", "\(reason)")
    case nil: break
    }
  }

  private mutating func send(control message: [UInt8], to keyHash: KeyHash, now: Instant) {
    guard let id = newest(of: keyHash) else { return StandardStreams.print("error no-session") }
    control(message, on: id, now: now)
  }

  private func newest(of keyHash: KeyHash) -> Int? {
    sessions.filter { $0.value.session.peer == keyHash }.keys.max()
  }

  private mutating func control(_ message: [UInt8], on id: Int, now: Instant) {
    var actions: [SessionAction] = []
    if case .failure(let reason)? = sessions[id]?.session.send(control: message, now: now, into: &actions) {
      StandardStreams.print("refused", "\(reason)")
    }
    perform(actions, of: id, now: now)
  }

  // MARK: Datagrams and time

  mutating func receive(_ datagram: [UInt8], from source: Endpoint, now: Instant) {
    guard let first = datagram.first else { return }
    if Layout.isTransport(first) {
      transport(datagram, from: source, now: now)
    } else if let name = Initiator.id(in: datagram.span),
      let id = attempts.first(where: { $0.value.initiator.id == name })?.key
    {
      var actions: [HandshakeAction] = []
      attempts[id]?.initiator.receive(datagram, now: now, into: &actions)
      perform(actions, of: id, now: now)
    } else {
      let refused = refused
      let knownKeys = knownKeys
      var actions: [ResponderAction] = []
      table.receive(
        datagram, from: source, now: now, queuedJobs: 0, freshIndex: Self.freshIndex,
        admission: { refused.contains($0) ? .refuse : .accept(knownKey: knownKeys[$0]) }, into: &actions)
      perform(actions, now: now)
    }
  }

  private mutating func transport(_ datagram: [UInt8], from source: Endpoint, now: Instant) {
    guard datagram.count >= Layout.transportHeaderSize else { return }
    let index = datagram[4..<8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    if let id = routes[index] {
      open(datagram, on: id, from: source, now: now)
    } else if !table.receiveEarly(datagram.span, from: source) {
      StandardStreams.print("dropped", "transport", "unknownIndex")
    }
  }

  private mutating func open(_ datagram: [UInt8], on id: Int, from source: Endpoint, now: Instant) {
    guard let peer = sessions[id]?.session.peer, let endpoint = sessions[id]?.endpoint else { return }
    var bytes = datagram
    var actions: [SessionAction] = []
    var span = bytes.mutableSpan
    let outcome = sessions[id]?.session.open(
      &span, arrival: Arrival(from: source, endpoint: endpoint), now: now, into: &actions)
    perform(actions, of: id, now: now)
    switch outcome {
    case .packet(let range): StandardStreams.print("packet", peer.description, Array(bytes[range]).hex)
    case .assembled(let packet): StandardStreams.print("packet", peer.description, packet.hex)
    case .cell, .assembledCell: StandardStreams.print("cell", peer.description)
    case .control(let message): received(message, from: peer, on: id, now: now)
    case .keepalive: StandardStreams.print("keepalive", peer.description)
    case .dropped(let reason): StandardStreams.print("dropped", "transport", "\(reason)")
    case .handled, nil: break
    }
  }

  /// Prints a control message, and answers a Ping as a node does.
  private mutating func received(_ message: [UInt8], from peer: KeyHash, on id: Int, now: Instant) {
    StandardStreams.print("control", peer.description, message.hex)
    if message.count == 5, message[0] == 0x01 { control([0x02] + message[1...] + [1], on: id, now: now) }
  }

  var nextDeadline: Instant? {
    let deadlines =
      attempts.values.map(\.initiator.nextDeadline) + sessions.values.map(\.session.nextDeadline)
    return (deadlines + [table.nextDeadline]).compactMap { $0 }.min()
  }

  mutating func advance(to now: Instant) {
    for id in attempts.keys.sorted() {
      var actions: [HandshakeAction] = []
      attempts[id]?.initiator.advance(to: now, into: &actions)
      perform(actions, of: id, now: now)
    }
    var answers: [ResponderAction] = []
    table.advance(to: now, into: &answers)
    perform(answers, now: now)
    for id in sessions.keys.sorted() {
      var actions: [SessionAction] = []
      sessions[id]?.session.advance(to: now, freshIndex: Self.freshIndex, into: &actions)
      perform(actions, of: id, now: now)
    }
  }

  // MARK: Actions

  private mutating func perform(_ actions: [HandshakeAction], of id: UInt64, now: Instant) {
    guard let endpoint = attempts[id]?.endpoint else { return }
    for action in actions {
      switch action {
      case .send(let datagram): socket.send(datagram, to: endpoint)
      case .compute(let job):
        var more: [HandshakeAction] = []
        attempts[id]?.initiator.computed(job.perform(with: identity), now: now, into: &more)
        perform(more, of: id, now: now)
      case .established(let session): hold(session, at: endpoint, attempt: id)
      case .failed(let reason):
        StandardStreams.print("failed", "\(reason)")
        attempts[id] = nil
      case .dropped(let reason): StandardStreams.print("dropped", "handshake", "\(reason)")
      }
    }
  }

  private mutating func perform(_ actions: [ResponderAction], now: Instant) {
    for action in actions {
      switch action {
      case .send(let datagram, let endpoint): socket.send(datagram, to: endpoint)
      case .compute(let half, let job):
        var more: [ResponderAction] = []
        table.computed(half, job.perform(with: identity), now: now, into: &more)
        perform(more, now: now)
      case .established(let session, let key, let endpoint, let early):
        knownKeys[key.keyHash] = key
        let id = hold(session, at: endpoint, attempt: nil)
        for datagram in early { open(datagram, on: id, from: endpoint, now: now) }
      case .confirmAgain(let index, let endpoint):
        guard let id = routes[index] else { continue }
        var more: [SessionAction] = []
        sessions[id]?.session.confirm(at: endpoint, now: now, into: &more)
        perform(more, of: id, now: now)
      case .indexRetired: break
      case .dropped(let reason): StandardStreams.print("dropped", "handshake", "\(reason)")
      }
    }
  }

  @discardableResult
  private mutating func hold(_ session: Session, at endpoint: Endpoint, attempt: UInt64?) -> Int {
    let id = nextSession
    nextSession += 1
    for index in session.receiveIndexes { routes[index] = id }
    StandardStreams.print("established", session.peer.description, "\(session.role)")
    sessions[id] = Live(session: session, endpoint: endpoint, attempt: attempt)
    return id
  }

  private mutating func perform(_ actions: [SessionAction], of id: Int, now: Instant) {
    guard let endpoint = sessions[id]?.endpoint, let peer = sessions[id]?.session.peer else { return }
    for action in actions {
      switch action {
      case .send(let datagram), .sendProbe(let datagram): socket.send(datagram, to: endpoint)
      case .sendElsewhere(let datagram, let elsewhere): socket.send(datagram, to: elsewhere)
      case .wantsChallenge(let elsewhere, let received):
        var more: [SessionAction] = []
        sessions[id]?.session.challenge(
          elsewhere, bytes: InteropPeer.random(8), received: received, now: now, into: &more)
        perform(more, of: id, now: now)
      case .checked(let check, let elsewhere):
        StandardStreams.print("checked", peer.description, "\(elsewhere)")
        var more: [SessionAction] = []
        sessions[id]?.session.answerCheck(check, to: elsewhere, now: now, into: &more)
        perform(more, of: id, now: now)
      case .checkAnswered(_, let elsewhere):
        StandardStreams.print("check-answered", peer.description, "\(elsewhere)")
      case .moved(let elsewhere):
        sessions[id]?.endpoint = elsewhere
        StandardStreams.print("moved", peer.description, "\(elsewhere)")
      case .compute(let job):
        var more: [SessionAction] = []
        sessions[id]?.session.computed(
          job.perform(with: identity), now: now, freshIndex: Self.freshIndex, into: &more)
        perform(more, of: id, now: now)
      case .indexAdded(let index): routes[index] = id
      case .indexRetired(let index): routes[index] = nil
      case .confirmed:
        if let attempt = sessions[id]?.attempt { attempts[attempt]?.initiator.confirmed() }
        StandardStreams.print("confirmed", peer.description)
      case .wantsHandshake(let reason): StandardStreams.print("wants-handshake", "\(reason)")
      case .expired: StandardStreams.print("expired", peer.description)
      case .pathPayload(let size): StandardStreams.print("payload", "\(size)")
      case .dropped(let reason): StandardStreams.print("dropped", "transport", "\(reason)")
      }
    }
  }
}
