import Glibc
import MeshCrypto
import MeshNode
import MeshPaths
import MeshWire

/// The node core on a loopback socket, with a signed record of its own, lines in place of a TUN device, and
/// no backbone.
///
/// Lines: `add PORT KEYHASH PUBLICKEY` (a peer that may send everything), `packet HEX` (from the TUN device),
/// `ping PEERID`, `look-up PEERID`, `netcheck ENDPOINT...`.
struct NodePeer: Driven {
  private let socket: LoopbackSocket
  private let identity: IdentityKey
  private var node: MeshNode

  init(identity: IdentityKey, suites: [AEADSuite], socket: LoopbackSocket, now: Instant) throws {
    guard let region = Region("interop") else { preconditionFailure("a region's name") }
    self.socket = socket
    self.identity = identity
    let wall = Self.wall
    node = MeshNode(
      configuration: NodeConfiguration(
        region: region, serviceType: .lightPublic, suites: suites, permitsLoopback: true,
        localPort: socket.port),
      publicKey: identity.publicKey, randomSeed: InteropPeer.random(32), now: now, wall: wall)
    let endpoint = Endpoint(IPAddress.v4(0x7f00_0001), port: socket.port)
    let body = RecordBody(
      serviceType: .lightPublic, keyHash: identity.keyHash, sequence: SequenceNumber(1),
      expiry: wall + .seconds(3_600), region: region, endpoints: [AnnouncedEndpoint(.configured, endpoint)])
    node.setOwnRecord(try PeerRecord.sign(body, privatePart: nil, with: identity), now: now)
    node.addressesChanged([AnnouncedEndpoint(.interface, endpoint)], now: now)
    drain(now: now)
  }

  private static var wall: WallTime {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return WallTime(secondsSinceEpoch: UInt64(time.tv_sec))
  }

  // MARK: What the test asks for

  mutating func obey(_ words: [String], now: Instant) -> Bool {
    defer { drain(now: now) }
    switch words.first {
    case "add" where words.count == 4:
      guard let port = UInt16(words[1]), let keyHash = KeyHash(hex: words[2]),
        let key = [UInt8](hex: words[3]).flatMap({ IdentityPublicKey($0) })
      else { return false }
      let entry = PeerEntry(
        peerID: keyHash.peerID, keyHash: keyHash, publicKey: key, inbound: InboundPermission(allowsAll: true),
        endpoints: [Endpoint(IPAddress.v4(0x7f00_0001), port: port)])
      do { try node.addPeer(entry, now: now) } catch { StandardStreams.print("error", "\(error)") }
    case "packet" where words.count == 2:
      guard let bytes = [UInt8](hex: words[1]) else { return false }
      send(bytes, now: now)
    case "ping" where words.count == 2:
      guard let peerID = PeerID(hex: words[1]) else { return false }
      _ = node.ping(peerID, now: now)
    case "look-up" where words.count == 2:
      guard let peerID = PeerID(hex: words[1]) else { return false }
      _ = node.lookUp(peerID, now: now)
    case "netcheck" where words.count > 1:
      node.detectNAT(asking: words.dropFirst().compactMap { Endpoint($0) }, now: now)
    default: return false
    }
    return true
  }

  private mutating func send(_ packet: [UInt8], now: Instant) {
    var output = [UInt8](repeating: 0, count: packet.count + 2 * 1_500)
    var span = output.mutableSpan
    switch node.send(packet.span, into: &span, now: now) {
    case .datagram(let count, let endpoint): socket.send(Array(output[..<count]), to: endpoint)
    case .pair(let first, let second, let endpoint):
      socket.send(Array(output[..<first]), to: endpoint)
      socket.send(Array(output[first..<(first + second)]), to: endpoint)
    case .queued, .relayed: StandardStreams.print("queued")
    case .dropped(let reason): StandardStreams.print("dropped", reason.rawValue)
    }
  }

  // MARK: Datagrams, time, actions

  mutating func receive(_ datagram: [UInt8], from source: Endpoint, now: Instant) {
    var bytes = datagram
    var span = bytes.mutableSpan
    let received = node.receive(&span, from: source, now: now)
    switch received {
    case .packet(let range): StandardStreams.print("packet", Array(bytes[range]).hex)
    case .consumed: break
    case .dropped(let reason): StandardStreams.print("dropped", reason.rawValue)
    }
    drain(now: now)
  }

  var nextDeadline: Instant? { node.nextDeadline }

  mutating func advance(to now: Instant) {
    node.advance(to: now, wall: Self.wall)
    drain(now: now)
  }

  private mutating func drain(now: Instant) {
    while let action = node.nextAction() {
      switch action {
      case .send(let datagram, let endpoint): socket.send(datagram, to: endpoint)
      case .deliver(let packet): StandardStreams.print("packet", packet.hex)
      case .compute(let ticket, let job): node.completed(ticket, job.perform(with: identity), now: now)
      case .askBackbone(let id, _): node.backboneAnswered(id, .unavailable("none here"), now: now)
      case .openStream(let stream, _, _): node.streamClosed(stream, now: now)
      case .closeStream: break
      case .event(let event): print(event)
      }
    }
  }

  private func print(_ event: NodeEvent) {
    switch event {
    case .peerConnected(_, let keyHash, _, _): StandardStreams.print("connected", keyHash.description)
    case .handshakeFailed(let peerID, _): StandardStreams.print("failed", peerID.description)
    case .recordLearned(let record): StandardStreams.print("learned", record.bundle.hex)
    case .pingFinished(_, .answered(_, _, _, let added)):
      StandardStreams.print("ping", "answered", "\(added)")
    case .pingFinished: StandardStreams.print("ping", "failed")
    case .lookupFinished(_, .found(let record, let source, _)):
      StandardStreams.print("found", source.rawValue, record.bundle.hex)
    case .lookupFinished: StandardStreams.print("not-found")
    case .natDetected(let findings):
      let family = findings.v4 ?? FamilyFindings()
      StandardStreams.print(
        "nat", "\(family.answered)", family.reflexive?.description ?? "-", "\(family.mapping)",
        "\(family.filtering)")
    default: break
    }
  }
}
