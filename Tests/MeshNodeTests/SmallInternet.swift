import MeshCrypto
import MeshNode
import MeshWire
import Testing

/// Nodes in one process, with datagrams that take a millisecond, crypto that is done at once, and a clock of
/// its own. A backbone is a dictionary that may be away.
struct SmallInternet {
  struct Host {
    let identity: IdentityKey
    var node: MeshNode
    private(set) var endpoint: Endpoint
    /// Where it was, and what still leads to it.
    private(set) var oldEndpoint: Endpoint?
    /// How far its wall clock is ahead.
    var clockError: Duration = .zero
    var events: [NodeEvent] = []
    var delivered: [[UInt8]] = []
    var received: [[UInt8]] = []
    /// Streams that its node asked for, in order.
    var streamsAsked: [(number: StreamNumber, to: Endpoint, certificate: [UInt8])] = []
    /// What it does with others' cells instead of relaying them.
    var hostility: HostileRelay?

    init(identity: IdentityKey, node: MeshNode, endpoint: Endpoint, clockError: Duration) {
      self.identity = identity
      self.node = node
      self.endpoint = endpoint
      self.clockError = clockError
    }

    /// Its datagrams come from there now, and those to its old address are lost unless that is kept.
    mutating func moved(to endpoint: Endpoint, keepingOld: Bool = false) {
      oldEndpoint = keepingOld ? self.endpoint : nil
      self.endpoint = endpoint
    }
  }

  enum Backbone {
    case records([PeerID: [UInt8]])
    case away
    /// It takes every question, and never answers.
    case silent
  }

  private struct Flying {
    let at: Instant
    let from: Endpoint
    let to: Endpoint
    let datagram: [UInt8]
  }

  var now = Instant(nanoseconds: 1_000_000_000_000)
  var wall = WallTime(secondsSinceEpoch: 1_800_000_000)
  var hosts: [Host] = []
  var backbone = Backbone.records([:])
  /// Sees every datagram; whatever it returns goes on.
  var wire: (_ datagram: [UInt8], _ from: Endpoint, _ to: Endpoint) -> [[UInt8]] = { datagram, _, _ in
    [datagram]
  }
  /// How long a datagram is on its way.
  var delay: (_ from: Endpoint, _ to: Endpoint) -> Duration = { _, _ in .milliseconds(1) }
  private var flying: [Flying] = []
  /// TLS streams that stand: the numbers that each end has for it.
  private var streams: [(client: Int, number: StreamNumber, server: Int, accepted: StreamNumber)] = []

  /// Adds a node at 198.18.NUMBER.1:8443.
  mutating func addHost(
    _ serviceType: ServiceType = .lightPrivate, at address: IPAddress? = nil, clockError: Duration = .zero,
    identity: IdentityKey? = nil, relayOffer: UInt32 = 0,
    configure: (inout NodeConfiguration) -> Void = { _ in }
  ) throws -> Int {
    let identity = try identity ?? IdentityKey()
    let number = hosts.count
    var configuration = NodeConfiguration(region: region, serviceType: serviceType)
    configuration.relayOffer = relayOffer
    configure(&configuration)
    let seed = Primitives.sha256([UInt8(number)])
    let node = MeshNode(
      configuration: configuration, publicKey: identity.publicKey, randomSeed: seed, now: now,
      wall: wall + clockError)
    let endpoint = Endpoint(address ?? .v4(0xc612_0001 + UInt32(number) << 8), port: 8_443)
    hosts.append(Host(identity: identity, node: node, endpoint: endpoint, clockError: clockError))
    settle(number)
    return number
  }

  var region: Region { Region("europe") ?? { preconditionFailure("a good name") }() }

  /// A record of this host, as its shell would sign it.
  func record(
    of host: Int, sequence: UInt64 = 1, admitting: [Int] = [], kind: RecordBody.Kind = .record,
    life: Duration = .seconds(7_200), endpoint: Endpoint? = nil, isPublic: Bool = false
  ) throws -> PeerRecord {
    let own = hosts[host]
    if isPublic {
      let body = RecordBody(
        kind: kind, serviceType: .lightPublic, keyHash: own.identity.keyHash,
        sequence: SequenceNumber(sequence), expiry: wall + life, region: region,
        endpoints: [AnnouncedEndpoint(.configured, endpoint ?? own.endpoint)])
      return try PeerRecord.sign(body, privatePart: nil, with: own.identity)
    }
    let body = RecordBody(
      kind: kind, serviceType: .lightPrivate, keyHash: own.identity.keyHash,
      sequence: SequenceNumber(sequence), expiry: wall + life, region: region)
    let part = RecordPrivatePart(
      endpoints: [AnnouncedEndpoint(.interface, endpoint ?? own.endpoint)],
      admitted: admitting.map { hosts[$0].identity.keyHash }, salt: Primitives.sha256([7]).dropLast(16))
    return try PeerRecord.sign(body, privatePart: part, with: own.identity)
  }

  /// A record of someone who has no node here.
  func record(of identity: IdentityKey, admitting: [KeyHash], endpoint: Endpoint) throws -> PeerRecord {
    let body = RecordBody(
      kind: .record, serviceType: .lightPrivate, keyHash: identity.keyHash, sequence: SequenceNumber(1),
      expiry: wall + .seconds(7_200), region: region)
    let part = RecordPrivatePart(
      endpoints: [AnnouncedEndpoint(.interface, endpoint)], admitted: admitting,
      salt: Primitives.sha256([7]).dropLast(16))
    return try PeerRecord.sign(body, privatePart: part, with: identity)
  }

  /// Publishes at the backbone, and tells the node.
  mutating func publish(_ host: Int, admitting: [Int], sequence: UInt64 = 1) throws {
    let record = try record(of: host, sequence: sequence, admitting: admitting)
    hosts[host].node.setOwnRecord(record, now: now)
    if case .records(var known) = backbone {
      known[record.peerID] = record.bundle
      backbone = .records(known)
    }
    settle(host)
  }

  /// Adds each as a peer of the other.
  mutating func pair(_ a: Int, _ b: Int, inbound: InboundPermission = InboundPermission(allowsAll: true))
    throws
  {
    for (host, other) in [(a, b), (b, a)] {
      let entry = PeerEntry(
        peerID: hosts[other].identity.keyHash.peerID, keyHash: hosts[other].identity.keyHash,
        inbound: inbound,
        endpoints: [hosts[other].endpoint])
      try hosts[host].node.addPeer(entry, now: now)
      settle(host)
    }
  }

  /// One host adds another, and nothing comes back.
  mutating func addOneSided(_ host: Int, _ other: Int) throws {
    let identity = hosts[other].identity.keyHash
    try hosts[host].node.addPeer(
      PeerEntry(peerID: identity.peerID, keyHash: identity, endpoints: [hosts[other].endpoint]), now: now)
    settle(host)
  }

  /// Drains a node's actions.
  mutating func settle(_ host: Int) {
    while let action = hosts[host].node.nextAction() {
      switch action {
      case .send(let datagram, let to): send(datagram, from: host, to: to)
      case .deliver(let packet): hosts[host].delivered.append(packet)
      case .compute(let ticket, let job):
        hosts[host].node.completed(ticket, job.perform(with: hosts[host].identity), now: now)
      case .askBackbone(let id, let target):
        if let answer = answer(target) { hosts[host].node.backboneAnswered(id, answer, now: now) }
      case .openStream(let stream, let to, let certificate):
        hosts[host].streamsAsked.append((stream, to, certificate))
      case .closeStream(let stream): closeStream(stream, at: host)
      case .event(let event): hosts[host].events.append(event)
      }
    }
  }

  private func answer(_ target: PeerID) -> BackboneAnswer? {
    switch backbone {
    case .silent: return nil
    case .away: return .unavailable("connection refused")
    case .records(let known):
      guard let bundle = known[target], let record = try? UnverifiedPeerRecord(bundle: bundle) else {
        return .notFound
      }
      return .found(record)
    }
  }

  private mutating func send(_ datagram: [UInt8], from host: Int, to: Endpoint) {
    guard case .stream(let number) = to.carrier else {
      return post(datagram, from: hosts[host].endpoint, to: to)
    }
    for stream in streams {
      let (other, name): (Int, StreamNumber)
      if stream.client == host, stream.number == number {
        (other, name) = (stream.server, stream.accepted)
      } else if stream.server == host, stream.accepted == number {
        (other, name) = (stream.client, stream.number)
      } else {
        continue
      }
      let arrival = Flying(
        at: now + .milliseconds(1), from: Endpoint(name), to: hosts[other].endpoint, datagram: datagram)
      flying.append(arrival)
    }
  }

  /// Lets the newest stream that a host asked for stand.
  mutating func openStream(of client: Int, at server: Int) {
    guard let asked = hosts[client].streamsAsked.last else { return }
    let accepted = StreamNumber(number: 1 << 31 | UInt32(streams.count + 1), origin: 5)
    streams.append((client, asked.number, server, accepted))
    hosts[client].node.streamOpened(asked.number, now: now)
    settle(client)
  }

  /// Ends a stream; both ends hear of it.
  mutating func closeStream(_ number: StreamNumber, at host: Int) {
    let ended = streams.filter { $0.client == host && $0.number == number }
    streams.removeAll { $0.client == host && $0.number == number }
    for stream in ended {
      hosts[stream.client].node.streamClosed(stream.number, now: now)
      hosts[stream.server].node.streamClosed(stream.accepted, now: now)
      settle(stream.client)
      settle(stream.server)
    }
  }

  var openStreams: Int { streams.count }

  mutating func post(_ datagram: [UInt8], from: Endpoint, to: Endpoint) {
    for datagram in wire(datagram, from, to) {
      flying.append(Flying(at: now + delay(from, to), from: from, to: to, datagram: datagram))
    }
  }

  /// Sends an IP packet out of a host's TUN device.
  @discardableResult
  mutating func transmit(_ packet: [UInt8], from host: Int) -> Sent {
    var output = [UInt8](repeating: 0, count: packet.count + 256)
    var span = output.mutableSpan
    let sent = hosts[host].node.send(packet.span, into: &span, now: now)
    switch sent {
    case .datagram(let count, let to): send(Array(output[..<count]), from: host, to: to)
    case .pair(let first, let second, let to):
      send(Array(output[..<first]), from: host, to: to)
      send(Array(output[first..<first + second]), from: host, to: to)
    case .queued, .relayed, .dropped: break
    }
    settle(host)
    return sent
  }

  /// Hands a datagram to a host as if it came from the network.
  @discardableResult
  mutating func hand(_ datagram: [UInt8], to host: Int, from: Endpoint) -> Received {
    var bytes = datagram
    if let hostility = hosts[host].hostility,
      hostility.takes(datagram, of: &hosts[host].node, from: from, now: now)
    {
      settle(host)
      return .consumed
    }
    var span = bytes.mutableSpan
    let received = hosts[host].node.receive(&span, from: from, now: now)
    if case .packet(let range) = received { hosts[host].delivered.append(Array(bytes[range])) }
    settle(host)
    return received
  }

  /// Lets time pass: datagrams arrive and timers fire, in order.
  mutating func run(_ duration: Duration) {
    let end = now + duration
    var steps = 0
    while true {
      let arrival = flying.map(\.at).min()
      let timer = hosts.compactMap(\.node.nextDeadline).min()
      guard let next = [arrival, timer].compactMap({ $0 }).min(), next <= end else { break }
      // A timer that is due whenever it has fired would keep a test from ever failing.
      steps = next <= now ? steps + 1 : 0
      guard steps < 10_000 else {
        Issue.record("time stands still: a timer is due again and again")
        break
      }
      step(to: max(next, now))
    }
    step(to: end)
  }

  private mutating func step(to next: Instant) {
    let seconds = (next.nanoseconds / 1_000_000_000) - (now.nanoseconds / 1_000_000_000)
    wall = wall + .seconds(Int64(seconds))
    now = next
    let arrived = flying.filter { $0.at <= now }
    flying.removeAll { $0.at <= now }
    for datagram in arrived {
      if let host = hosts.firstIndex(where: {
        $0.endpoint == datagram.to || $0.oldEndpoint == datagram.to
      }) {
        hand(datagram.datagram, to: host, from: datagram.from)
      }
    }
    for host in hosts.indices where hosts[host].node.nextDeadline.map({ $0 <= now }) ?? false {
      hosts[host].node.advance(to: now, wall: wall + hosts[host].clockError)
      settle(host)
    }
  }

  func peerID(_ host: Int) -> PeerID { hosts[host].identity.keyHash.peerID }

  func drops(_ host: Int, _ reason: DropReason) -> UInt64 {
    hosts[host].node.status(now: now).counters.drops[reason] ?? 0
  }

  func state(of peer: Int, at host: Int) -> PeerStatus? {
    hosts[host].node.status(now: now).peers.first { $0.peerID == peerID(peer) }
  }
}

/// IPv6 packets as hosts would send them.
enum Packet {
  static func address(_ peerID: PeerID) -> [UInt8] { OverlayAddress(of: peerID).address.bytes }

  static func ip(from: [UInt8], to: [UInt8], nextHeader: UInt8, _ payload: [UInt8]) -> [UInt8] {
    var bytes: [UInt8] = [0x60, 0, 0, 0]
    bytes.append(bigEndian: UInt16(payload.count))
    return bytes + [nextHeader, 64] + from + to + payload
  }

  static func udp(
    from: [UInt8], to: [UInt8], source: UInt16 = 1_000, destination: UInt16 = 2_000, size: Int = 20
  ) -> [UInt8] {
    var payload: [UInt8] = []
    payload.append(bigEndian: source)
    payload.append(bigEndian: destination)
    payload.append(bigEndian: UInt16(8 + size))
    payload += [0, 0] + (0..<size).map { UInt8(truncatingIfNeeded: $0) }
    return ip(from: from, to: to, nextHeader: 17, payload)
  }

  static func tcp(from: [UInt8], to: [UInt8], source: UInt16, destination: UInt16) -> [UInt8] {
    var payload: [UInt8] = []
    payload.append(bigEndian: source)
    payload.append(bigEndian: destination)
    return ip(from: from, to: to, nextHeader: 6, payload + [UInt8](repeating: 0, count: 16))
  }

  static func echo(from: [UInt8], to: [UInt8], isRequest: Bool, identifier: UInt16 = 9) -> [UInt8] {
    var payload: [UInt8] = [isRequest ? 128 : 129, 0, 0, 0]
    payload.append(bigEndian: identifier)
    return ip(from: from, to: to, nextHeader: 58, payload + [0, 1])
  }
}
