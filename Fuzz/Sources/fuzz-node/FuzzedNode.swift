import Harness
import MeshCrypto
import MeshNode
import MeshPaths
import MeshRelay
import MeshSession
import MeshWire

/// What kind of node is played.
enum Role: CaseIterable {
  case privateNode
  /// Public, relays for anyone.
  case relay
  /// Public, relays for its owner's peers only.
  case relayForPeers
  case backbone
}

/// A whole node, and those that have sessions with it: a peer, its backbone, and a stranger (of a private
/// node, a relay that it uses). Whatever comes, what it does stays within what each of them may have.
struct FuzzedNode {
  static let beginning = Instant(nanoseconds: 1 << 40)
  static let wall = WallTime(secondsSinceEpoch: 1_800_000_000)
  static let identity = Conversation.responderIdentity
  static let own = Endpoint(.v4(0x0808_0801), port: 8_443)
  static let stunServer = Endpoint(.v4(0xc000_0263), port: 3_478)
  static let peer = 0
  static let backbone = 1
  static let other = 2

  let role: Role
  var node: MeshNode
  var parties: [Party]
  var now = Self.beginning
  var jobsLeft = 64
  /// The onion key that the node has made.
  private(set) var onionKey: KeyExchangeOffer?
  /// The place that it gave away last.
  private(set) var granted: [UInt8]?
  private(set) var openedStream: StreamNumber?
  /// The last STUN request that it sent.
  private(set) var question: (transaction: [UInt8], to: Endpoint)?
  /// The cookie of the last Retry.
  private(set) var cookie: [UInt8]?
  /// The node's own handshake that began last: its id, what its macs are keyed with, and where it goes.
  private(set) var attempt: OwnAttempt?
  /// Who is heard at an address besides its home, because it sent from there.
  var whereabouts: [Endpoint: Int] = [:]
  /// What strangers sent from addresses that have shown nothing, and what came back at once.
  private var strangers: [Endpoint: (sent: Int, received: Int)] = [:]
  private var validated: Set<Endpoint> = []
  private var answering: Endpoint?
  /// What parties say back.
  private var replies: [(bytes: [UInt8], from: Endpoint)] = []
  /// What went to the address that somebody waits at.
  private var awaited: (at: Endpoint, answers: [[UInt8]])?
  private var nextIndex: UInt32 = 9_000

  static let nodeAddress = OverlayAddress(of: identity.keyHash.peerID)
  var peerAddress: OverlayAddress { OverlayAddress(of: parties[Self.peer].peerID) }

  /// A node that knows nobody yet.
  init(unconnected role: Role, region: Region) {
    self.role = role
    let type: ServiceType =
      switch role {
      case .privateNode: .lightPrivate
      case .relay, .relayForPeers: .lightPublic
      case .backbone: .backbone
      }
    var configuration = NodeConfiguration(
      region: region, serviceType: type, stunServers: role == .backbone ? [] : [Self.stunServer],
      localPort: 8_443)
    configuration.relayOffer = type == .lightPublic ? 1_000 : 0
    configuration.relayAdmission = role == .relayForPeers ? .peers : .all
    node = MeshNode(
      configuration: configuration, publicKey: Self.identity.publicKey,
      randomSeed: [UInt8](repeating: 6, count: 32), now: now, wall: Self.wall)
    parties = [
      Party(1, at: Conversation.home), Party(11, at: Endpoint(.v4(0xc000_0411), port: 8_443)),
      Party(12, at: Endpoint(.v6(0x2001_0db8_0012 << 80 | 1), port: 8_443)),
    ]
  }

  // MARK: Inputs

  mutating func receive(_ datagram: [UInt8], from source: Endpoint) {
    var bytes = datagram
    var span = bytes.mutableSpan
    let received = node.receive(&span, from: source, now: now)
    if case .packet(let range) = received { check(packet: Array(bytes[range])) }
  }

  /// A datagram from anywhere, and what comes of it: nobody who has shown nothing gets back more than three
  /// times what it sent.
  ///
  /// - Parameter validates: it may show that its sender is there.
  mutating func receive(stranger datagram: [UInt8], from source: Endpoint, validates: Bool = false) {
    if validates || datagram.first == 6 || datagram.first == 7 { validated.insert(source) }
    strangers[source, default: (0, 0)].sent += datagram.count
    answering = source
    receive(datagram, from: source)
    settle()
    answering = nil
    guard !validated.contains(source), whereabouts[source] == nil, source.carrier == .udp,
      !parties.contains(where: { $0.home == source })
    else { return }
    let traffic = strangers[source, default: (0, 0)]
    precondition(traffic.received <= 3 * traffic.sent, "3× rule broken")
  }

  mutating func sendFromDevice(_ packet: [UInt8]) {
    var output = [UInt8](repeating: 0, count: packet.count + 2 * 1_500)
    var span = output.mutableSpan
    _ = node.send(packet.span, into: &span, now: now)
  }

  mutating func advance(by duration: Duration) {
    now = now + duration
    node.advance(to: now, wall: Self.wall)
  }

  // MARK: What follows

  /// What the node sends to an address now; all else is done as ever.
  mutating func answers(to target: Endpoint) -> [[UInt8]] {
    awaited = (target, [])
    settle()
    defer { awaited = nil }
    return awaited?.answers ?? []
  }

  /// Does what the node wants done, and lets the parties' sessions answer it a few times.
  mutating func settle() {
    for _ in 0..<8 {
      drain()
      let waiting = replies
      replies = []
      guard !waiting.isEmpty else { return }
      for reply in waiting { receive(reply.bytes, from: reply.from) }
    }
    replies = []
    drain()
  }

  private mutating func drain() {
    while let action = node.nextAction() {
      switch action {
      case .send(let bytes, let target): send(bytes, to: target)
      case .deliver(let packet): check(packet: packet)
      case .compute(let ticket, let job):
        node.completed(ticket, result(of: job, by: Self.identity), now: now)
      case .askBackbone(let id, _): node.backboneAnswered(id, .notFound, now: now)
      case .openStream(let stream, let endpoint, _):
        precondition(endpoint.isDialable, "a stream to an address that must not be dialled")
        openedStream = stream
        node.streamOpened(stream, now: now)
      case .event(.onionKeyMade(let key, _)): onionKey = key
      case .closeStream, .event: break
      }
    }
  }

  private mutating func result(of job: CryptoJob, by identity: IdentityKey) -> CryptoResult {
    jobsLeft -= 1
    return jobsLeft >= 0 ? job.perform(with: identity) : .failed
  }

  private mutating func send(_ bytes: [UInt8], to target: Endpoint) {
    // The core keeps its circuits itself.
    if case .circuit = target.carrier { preconditionFailure("the shell is to send through a circuit") }
    precondition(
      target.isDialable || target.carrier != .udp, "a datagram to an address that must not be dialled")
    precondition(!bytes.isEmpty && bytes.count <= 1_452, "a datagram that no path carries")
    if target == answering { strangers[target, default: (0, 0)].received += bytes.count }
    if STUNMessage.hasCookie(bytes.span) {
      precondition(
        role != .privateNode || bytes[0] == 0 && bytes[1] == 1, "a private node answers whoever asks")
      if bytes[0] == 0 { question = (Array(bytes[8..<20]), target) }
    }
    if target == awaited?.at { awaited?.answers.append(bytes) }
    if bytes[0] == 3, bytes.count == 45 { cookie = Array(bytes.suffix(16)) }
    if let begun = OwnAttempt(bytes, to: target) { attempt = begun }
    guard bytes[0] == 1, let index = parties.firstIndex(where: { $0.home == target }) ?? whereabouts[target]
    else { return }
    take(bytes, at: index, from: target)
  }

  /// No packet reaches the device but the peer's own, to us (protocol.md §1).
  private func check(packet: [UInt8]) {
    precondition(role != .backbone, "a backbone has no device")
    precondition(packet.count >= 40 && packet[0] >> 4 == 6, "what is no IPv6 packet was delivered")
    precondition(
      Array(packet[8..<24]) == peerAddress.address.bytes, "a foreign source address was delivered")
    precondition(
      Array(packet[24..<40]) == Self.nodeAddress.address.bytes, "a foreign destination was delivered")
  }

  // MARK: The other ends

  private mutating func take(_ datagram: [UInt8], at index: Int, from place: Endpoint) {
    let receiver = datagram.dropFirst(4).prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    guard let session = parties[index].sessions.firstIndex(where: { $0.receives(receiver) }) else { return }
    var bytes = datagram
    var span = bytes.mutableSpan
    var actions: [SessionAction] = []
    let arrival = Arrival(from: Self.own, endpoint: Self.own)
    let outcome = parties[index].sessions[session].open(&span, arrival: arrival, now: now, into: &actions)
    perform(actions, of: session, at: index, from: place)
    switch outcome {
    case .control(let message): heard(message, at: index)
    case .cell(let range): heard(cell: Array(bytes[range]), at: index)
    case .assembledCell(let cell): heard(cell: cell, at: index)
    case .packet, .assembled, .keepalive, .handled, .dropped: break
    }
  }

  private mutating func perform(
    _ actions: [SessionAction], of session: Int, at index: Int, from place: Endpoint
  ) {
    var waiting = actions
    while !waiting.isEmpty {
      switch waiting.removeFirst() {
      case .send(let bytes), .sendProbe(let bytes), .sendElsewhere(let bytes, _):
        replies.append((bytes, place))
      case .checked(let id, let endpoint):
        parties[index].sessions[session].answerCheck(id, to: endpoint, now: now, into: &waiting)
      case .compute(let job):
        let result = result(of: job, by: parties[index].identity)
        nextIndex += 1
        let fresh = nextIndex
        parties[index].sessions[session].computed(result, now: now, freshIndex: { fresh }, into: &waiting)
      default: break
      }
    }
  }

  /// What the node says to one that may hear it.
  private mutating func heard(_ bytes: [UInt8], at index: Int) {
    guard let message = try? ControlMessage(decoding: bytes), message.encoded == bytes else {
      preconditionFailure("the node says what nobody reads")
    }
    switch message {
    case .ping(let id), .findNode(let id, _), .getRecord(let id, _), .redeemInvite(let id, _),
      .observe(let id), .reserve(let id):
      parties[index].asked = id.number
    case .reserved(_, let grant?):
      precondition(
        role == .relay || role == .relayForPeers && index == Self.peer,
        "a place for one that may not have any")
      granted = grant.id
    case .introduction, .introductionFailed:
      precondition(role == .backbone, "a node introduces as a backbone does")
    case .introduce:
      precondition(
        index == Self.backbone && role != .backbone, "asked somebody to introduce who is no backbone")
    case .candidates:
      precondition(index == Self.peer && role != .backbone, "its addresses, to one that is no peer")
    case .createCircuit(let circuit, let layer):
      precondition(role != .backbone, "a backbone relays")
      parties[index].create = (circuit, layer)
      let cells = parties[index].relay?.create(
        circuit, layer, from: Self.identity.keyHash, now: now, wall: Self.wall, jobs: &jobsLeft)
      for cell in cells ?? [] { reply(cell: cell, at: index) }
    default: break
    }
  }

  private mutating func heard(cell: [UInt8], at index: Int) {
    precondition(cell.count == CellLayout.cellSize, "a cell of another size")
    precondition(role != .backbone, "a backbone relays")
    precondition(
      role != .relayForPeers || index != Self.other, "a cell to one that is not served")
    if parties[index].relay != nil {
      parties[index].relay?.pass(cell, from: Self.identity.keyHash, now: now)
      return
    }
    var cell = cell
    var span = cell.mutableSpan
    var actions: [CircuitAction] = []
    let content = parties[index].circuits.open(
      &span, from: Self.identity.keyHash, reservedThere: true, now: now, into: &actions)
    if case .datagram(let number, _) = content { parties[index].standing = number }
    for action in actions {
      switch action {
      case .ready(let number, _, _): parties[index].standing = number
      case .send(let cell, _): reply(cell: cell, at: index)
      default: break
      }
    }
  }

  private mutating func reply(cell: [UInt8], at index: Int) {
    for bytes in parties[index].seal(cell: cell, now: now) { replies.append((bytes, parties[index].home)) }
  }
}
