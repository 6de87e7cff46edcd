import MeshCrypto
import MeshNode
import MeshWire
import Testing

/// Relays, and two nodes that reach each other through them only.
struct RelayInternet {
  var net = SmallInternet()
  var relays: [Int] = []
  let a: Int
  let b: Int

  /// - Parameters:
  ///   - relays: public nodes, each of its own prefix and operator.
  ///   - hops: what `a` wants on the way to `b`.
  ///   - offer: Mbit/s of each.
  init(relays count: Int, hops: Int, offer: UInt32 = 100) throws {
    for _ in 0..<count { relays.append(try net.addHost(.lightPublic, relayOffer: offer)) }
    a = try net.addHost { $0.relayHops = hops }
    b = try net.addHost { $0.relayHops = hops }
    let blocked = [net.hosts[a].endpoint, net.hosts[b].endpoint]
    net.wire = { datagram, from, to in
      blocked.contains(from) && blocked.contains(to) ? [] : [datagram]
    }
  }

  /// Everybody learns of the relays, reserves, publishes, and adds the other.
  mutating func begin() throws {
    let records = try relays.map { try relayRecord($0) }
    for host in [a, b] {
      net.hosts[host].node.setRelays(records, now: net.now)
      net.settle(host)
    }
    net.run(.seconds(2))
    try publish(a, admitting: b)
    try publish(b, admitting: a)
    try net.pair(a, b)
  }

  /// A relay's record, with the onion key that it made.
  func relayRecord(_ host: Int, operatorName: String? = nil, sequence: UInt64 = 1) throws -> PeerRecord {
    let relay = net.hosts[host]
    let made = relay.events.compactMap { event -> (KeyExchangeOffer, UInt32)? in
      if case .onionKeyMade(let key, let week) = event { (key, week) } else { nil }
    }
    let (key, week) = try #require(made.last)
    let body = RecordBody(
      kind: .record, serviceType: .lightPublic, keyHash: relay.identity.keyHash,
      sequence: SequenceNumber(sequence), expiry: net.wall + .seconds(7_200), region: net.region,
      relayOffer: 100, endpoints: [AnnouncedEndpoint(.configured, relay.endpoint)],
      relay: RelayAnnouncement(
        onionKey: key, week: week,
        operatorName: try #require(OperatorName(operatorName ?? "operator-\(host)"))))
    return try PeerRecord.sign(body, privatePart: nil, with: relay.identity)
  }

  /// The places that a host told its shell last.
  func reservations(_ host: Int) -> [RelayReservation] {
    net.hosts[host].events.reversed().lazy.compactMap {
      if case .reservationsChanged(let places) = $0 { places } else { nil }
    }.first ?? []
  }

  mutating func publish(
    _ host: Int, admitting other: Int, sequence: UInt64 = 1, mapping: NATBehaviour = .unknown,
    filtering: NATBehaviour = .unknown
  ) throws {
    let own = net.hosts[host]
    let body = RecordBody(
      kind: .record, serviceType: .lightPrivate, mapping: mapping, filtering: filtering,
      keyHash: own.identity.keyHash,
      sequence: SequenceNumber(sequence), expiry: net.wall + .seconds(7_200), region: net.region)
    let part = RecordPrivatePart(
      endpoints: [AnnouncedEndpoint(.interface, own.endpoint)],
      admitted: [net.hosts[other].identity.keyHash], salt: Primitives.sha256([7]).dropLast(16),
      reservations: reservations(host))
    let record = try PeerRecord.sign(body, privatePart: part, with: own.identity)
    net.hosts[host].node.setOwnRecord(record, now: net.now)
    if case .records(var known) = net.backbone {
      known[record.peerID] = record.bundle
      net.backbone = .records(known)
    }
    net.settle(host)
  }

  func packet(from sender: Int, to receiver: Int, size: Int = 20) -> [UInt8] {
    Packet.udp(
      from: Packet.address(net.peerID(sender)), to: Packet.address(net.peerID(receiver)), size: size)
  }
}
