import Harness
import MeshCrypto
import MeshNode
import MeshRelay
import MeshSession
import MeshWire

/// The state from which inputs begin: sessions stand, places are reserved, circuits too.
extension FuzzedNode {
  /// One with whom there is no session; a private node wants one, and builds circuits to it.
  static var far: Party { Party(13, at: Endpoint(.v4(0xcb00_7111), port: 8_443)) }
  /// Asymmetric operations for one input.
  static let jobs = 6
  private static let expiry = Self.wall + .seconds(7_200)

  /// - Parameter hasMetAgain: each party has begun a second session, that takes the place of the first.
  init(_ role: Role, hasMetAgain: Bool) {
    guard let region = Region("fuzz") else { preconditionFailure("a region") }
    self.init(unconnected: role, region: region)
    settle()
    if role != .backbone {
      add(parties[Self.peer])
      _ = node.addInvitation(
        secretHash: Primitives.sha256([UInt8](repeating: 1, count: 32)), expires: Self.expiry)
      node.setOwnRecord(
        Self.record(of: ownParty, type: role == .privateNode ? .lightPrivate : .lightPublic), now: now)
    }
    settle()
    for index in parties.indices {
      connect(index)
      if hasMetAgain { connect(index) }
    }
    if role != .backbone {
      let pin = BackbonePin(keyHash: parties[Self.backbone].keyHash, endpoint: parties[Self.backbone].home)
      node.setBackbones([pin], now: now)
      settle()
    }
    switch role {
    case .privateNode: useRelay()
    case .relay, .relayForPeers: serve()
    case .backbone: break
    }
    jobsLeft = Self.jobs
  }

  private var ownParty: (key: IdentityKey, home: Endpoint) { (Self.identity, Self.own) }

  mutating func add(_ party: Party) {
    try? node.addPeer(
      PeerEntry(
        peerID: party.peerID, keyHash: party.keyHash, publicKey: party.identity.publicKey,
        inbound: InboundPermission(allowsPing: true, tcpPorts: [22], udpPorts: [53]),
        endpoints: [party.home]), now: now)
  }

  static func record(
    of owner: (key: IdentityKey, home: Endpoint), type: ServiceType, relay: RelayAnnouncement? = nil,
    reservations: [RelayReservation] = []
  ) -> PeerRecord {
    guard let region = Region("fuzz") else { preconditionFailure("a region") }
    let endpoints = [AnnouncedEndpoint(.configured, owner.home)]
    let isPrivate = type == .lightPrivate
    let body = RecordBody(
      kind: .record, serviceType: type, keyHash: owner.key.keyHash, sequence: SequenceNumber(1),
      expiry: Self.expiry, region: region, relayOffer: relay == nil ? 0 : 100,
      endpoints: isPrivate ? [] : endpoints, relay: relay)
    let part = RecordPrivatePart(
      endpoints: endpoints, admitted: [Self.identity.keyHash], salt: [UInt8](repeating: 9, count: 16),
      reservations: reservations)
    guard let record = try? PeerRecord.sign(body, privatePart: isPrivate ? part : nil, with: owner.key)
    else { preconditionFailure("a record") }
    return record
  }

  /// A party's handshake, perhaps its second.
  private mutating func connect(_ index: Int) {
    let party = parties[index]
    var session: Session?
    var initiator = Initiator(
      responder: Self.identity.keyHash, responderKey: Self.identity.publicKey, own: party.identity.publicKey,
      sendsPublicKey: true, suites: AEADSuite.allCases,
      entropy: InitiatorEntropy(
        id: 77 + UInt64(index), random: [UInt8](repeating: 3, count: 32),
        receiverIndex: UInt32(7 + index + 100 * party.sessions.count),
        jitterSeed: 4), now: now)
    var actions: [HandshakeAction] = []
    initiator.start(now: now, into: &actions)
    // What the node says before there is a session is for the handshake.
    for _ in 0..<400 where !actions.isEmpty && session == nil {
      switch actions.removeFirst() {
      case .send(let bytes):
        receive(bytes, from: party.home)
        for answer in answers(to: party.home) { initiator.receive(answer, now: now, into: &actions) }
      case .compute(let job):
        initiator.computed(job.perform(with: party.identity), now: now, into: &actions)
      case .established(let made): session = made
      case .failed, .dropped: break
      }
    }
    guard let session else { preconditionFailure("no session came about") }
    parties[index].sessions.append(session)
    // The end of M3 is among the actions that the established session left behind.
    for case .send(let bytes) in actions { receive(bytes, from: party.home) }
    settle()
  }

  /// A private node reserves at the relay, and builds a circuit through it to one that it can't reach.
  private mutating func useRelay() {
    let relay = RelayBehind(own: parties[Self.other].keyHash, holder: Self.far.keyHash, now: now)
    parties[Self.other].relay = relay
    let announcement = RelayAnnouncement(
      onionKey: relay.onionKey, week: RelayAnnouncement.week(of: Self.wall), streamPort: 443,
      streamCertificate: [UInt8](repeating: 6, count: 32))
    let owner = (parties[Self.other].identity, parties[Self.other].home)
    node.setRelays([Self.record(of: owner, type: .lightPublic, relay: announcement)], now: now)
    settle()
    advance(by: .seconds(1))
    settle()
    let grant = ReservationGrant(
      id: [UInt8](repeating: 5, count: 16), life: .seconds(3_600), bytes: 1 << 30, kilobitsPerSecond: 1_000)
    say(.reserved(.init(number: parties[Self.other].asked), grant), from: Self.other)
    guard
      let place = RelayReservation(
        relay: parties[Self.other].keyHash, endpoint: parties[Self.other].home, id: relay.reservation)
    else { preconditionFailure("16 bytes are an id") }
    let far = Self.record(
      of: (Self.far.identity, Self.far.home), type: .lightPrivate, reservations: [place])
    node.restore(NodeSnapshot(records: [far.bundle], table: []), now: now)
    settle()
    add(Self.far)
    for _ in 0..<8 where parties[Self.other].create == nil {
      settle()
      advance(by: .milliseconds(500))
    }
    settle()
    precondition(parties[Self.other].relay?.isReached ?? false, "no circuit to the far peer came about")
  }

  /// The peer reserves a place, and the stranger builds a circuit to it, and has another one ready.
  private mutating func serve() {
    guard let onionKey else { preconditionFailure("a relay makes an onion key") }
    say(.reserve(.init(number: 1)), from: Self.peer)
    guard let granted else { preconditionFailure("no place came about") }
    let hop = RelayHop(keyHash: Self.identity.keyHash, endpoint: Self.own, onionKey: onionKey)
    for number in 0..<2 {
      var actions: [CircuitAction] = []
      let begun = parties[Self.other].circuits.begin([hop], reservation: granted, now: now, into: &actions)
      guard case .compute(let circuit, let hop, let job)? = actions.first, circuit == begun else {
        preconditionFailure("a circuit begins with a key exchange")
      }
      let result = job.perform(with: parties[Self.other].identity)
      actions = []
      parties[Self.other].circuits.computed(
        circuit, hop: hop, result, random: 77 + UInt32(number), now: now, wall: Self.wall, into: &actions)
      guard case .create(let id, let layer, _, _)? = actions.first else {
        preconditionFailure("a create message comes of it")
      }
      parties[Self.other].create = (id, layer)
      if number == 0 { say(.createCircuit(id, layer: layer), from: Self.other) }
    }
    guard role == .relay else { return }
    precondition(parties[Self.other].standing != nil, "no circuit came about")
    // Its first datagram tells the peer that it is there.
    pass([1, 2, 3], from: Self.other)
    precondition(parties[Self.peer].standing != nil, "nothing came through the circuit")
  }

  private mutating func say(_ message: ControlMessage, from index: Int) {
    for bytes in parties[index].seal(control: message.encoded, now: now) {
      receive(bytes, from: parties[index].home)
    }
    settle()
  }

  /// A datagram of a party's goes through the circuit that it has.
  private mutating func pass(_ datagram: [UInt8], from index: Int) {
    guard let cell = parties[index].cell(with: datagram, now: now) else { return }
    for bytes in parties[index].seal(cell: cell, now: now) { receive(bytes, from: parties[index].home) }
    settle()
  }
}
