import Harness
import MeshCrypto
import MeshNode
import MeshSession
import MeshWire

/// A whole node, and a peer's authenticated session into it.
struct NodeAndPeer {
  static let beginning = Instant(nanoseconds: 1 << 40)
  static let wall = WallTime(secondsSinceEpoch: 1_800_000_000)

  var node: MeshNode
  /// The peer's end.
  var session: Session?
  var now = Self.beginning
  var jobsLeft = 64
  private var inbox: [[UInt8]] = []

  static let nodeAddress = OverlayAddress(of: Conversation.responderIdentity.keyHash.peerID)
  static let peerAddress = OverlayAddress(of: Conversation.initiatorIdentity.keyHash.peerID)

  init() {
    guard let region = Region("fuzz") else { preconditionFailure("a region") }
    node = MeshNode(
      configuration: NodeConfiguration(region: region, serviceType: .lightPrivate),
      publicKey: Conversation.responderIdentity.publicKey, randomSeed: [UInt8](repeating: 6, count: 32),
      now: now, wall: Self.wall)
    let peer = Conversation.initiatorIdentity
    let entry = PeerEntry(
      peerID: peer.keyHash.peerID, keyHash: peer.keyHash, publicKey: peer.publicKey,
      inbound: InboundPermission(allowsPing: true, tcpPorts: [22], udpPorts: [53]),
      endpoints: [Conversation.home])
    try? node.addPeer(entry, now: now)
    _ = drain()
    connect(peer)
  }

  private mutating func connect(_ peer: IdentityKey) {
    var initiator = Initiator(
      responder: Conversation.responderIdentity.keyHash,
      responderKey: Conversation.responderIdentity.publicKey, own: peer.publicKey, sendsPublicKey: true,
      suites: AEADSuite.allCases,
      entropy: InitiatorEntropy(
        id: 77, random: [UInt8](repeating: 3, count: 32), receiverIndex: 7, jitterSeed: 4), now: now)
    var actions: [HandshakeAction] = []
    initiator.start(now: now, into: &actions)
    for _ in 0..<400 where !actions.isEmpty && session == nil {
      switch actions.removeFirst() {
      case .send(let bytes):
        receive(bytes, from: Conversation.home)
        for answer in drain() { initiator.receive(answer, now: now, into: &actions) }
      case .compute(let job): initiator.computed(job.perform(with: peer), now: now, into: &actions)
      case .established(let session): self.session = session
      case .failed, .dropped: break
      }
    }
    // The end of M3 is among the actions that the established session left behind.
    for case .send(let bytes) in actions { receive(bytes, from: Conversation.home) }
    _ = drain()
  }

  // MARK: Inputs

  mutating func receive(_ datagram: [UInt8], from source: Endpoint) {
    var bytes = datagram
    var span = bytes.mutableSpan
    let received = node.receive(&span, from: source, now: now)
    if case .packet(let range) = received { Self.check(Array(bytes[range])) }
  }

  /// No packet reaches the device but the peer's own, to us (protocol.md §1).
  static func check(_ packet: [UInt8]) {
    precondition(packet.count >= 40 && packet[0] >> 4 == 6, "what is no IPv6 packet was delivered")
    precondition(Array(packet[8..<24]) == peerAddress.address.bytes, "a foreign source address was delivered")
    precondition(Array(packet[24..<40]) == nodeAddress.address.bytes, "a foreign destination was delivered")
  }

  mutating func receiveSealed(packet: [UInt8]) {
    guard session != nil else { return }
    var output = [UInt8](repeating: 0, count: packet.count + 2 * 1_500)
    var span = output.mutableSpan
    switch session!.seal(packet.span, into: &span, now: now) {
    case .one(let count): receive(Array(output[..<count]), from: Conversation.home)
    case .two(let first, let second):
      receive(Array(output[..<first]), from: Conversation.home)
      receive(Array(output[first..<(first + second)]), from: Conversation.home)
    case .refused: break
    }
  }

  mutating func receiveSealed(control: [UInt8]) {
    guard session != nil else { return }
    var actions: [SessionAction] = []
    _ = session!.send(control: control, now: now, into: &actions)
    for case .send(let bytes) in actions { receive(bytes, from: Conversation.home) }
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

  /// Does what the node wants done; gives the datagrams for the peer.
  mutating func drain() -> [[UInt8]] {
    var toPeer: [[UInt8]] = []
    while let action = node.nextAction() {
      switch action {
      case .send(let bytes, let target):
        precondition(target.isDialable, "a datagram to an address that must not be dialled")
        if target == Conversation.home { toPeer.append(bytes) }
      case .deliver(let packet): Self.check(packet)
      case .compute(let ticket, let job):
        jobsLeft -= 1
        let result = jobsLeft >= 0 ? job.perform(with: Conversation.responderIdentity) : .failed
        node.completed(ticket, result, now: now)
      case .askBackbone(let id, _): node.backboneAnswered(id, .notFound, now: now)
      case .openStream(let stream, _, _): node.streamOpened(stream, now: now)
      case .closeStream, .event: break
      }
    }
    return toPeer
  }
}
