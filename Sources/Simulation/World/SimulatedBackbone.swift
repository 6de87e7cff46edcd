import MeshCrypto
import MeshNode
public import MeshWire

/// The registry as nodes see it: records by PeerID, a private part only for whom its owner admitted, and a
/// time that an answer takes. May be away.
public struct SimulatedBackbone {
  static let region: Region = Region("europe") ?? { preconditionFailure("a good name") }()

  /// Whether any backbone answers.
  public var isReachable = true
  /// From question to answer.
  public var roundTrip = Duration.milliseconds(40)
  /// What it takes to find that none answers.
  public var patience = Duration.seconds(2)
  private var records: [PeerID: PeerRecord] = [:]
  private var asked: [Question: PeerID] = [:]

  private struct Question: Hashable {
    let host: HostID
    let lookup: LookupID
  }

  /// Takes a record in; its owner has just signed it.
  mutating func publish(_ record: PeerRecord) { records[record.peerID] = record }

  func record(of peerID: PeerID) -> PeerRecord? { records[peerID] }

  mutating func ask(_ lookup: LookupID, _ target: PeerID, of host: HostID) -> Duration {
    asked[Question(host: host, lookup: lookup)] = target
    return isReachable ? roundTrip : patience
  }

  /// - Parameter archive: whoever it has a record of, that nobody has published since.
  mutating func answer(
    _ lookup: LookupID, of host: HostID, to asker: KeyHash, archive: (PeerID) -> PeerRecord?
  ) -> BackboneAnswer {
    guard let target = asked.removeValue(forKey: Question(host: host, lookup: lookup)), isReachable else {
      return .unavailable("connection refused")
    }
    guard let record = records[target] ?? archive(target) else { return .notFound }
    let visible = record.admits(asker) ? record : record.withoutPrivatePart
    guard let unverified = try? UnverifiedPeerRecord(bundle: visible.bundle) else { return .notFound }
    return .found(unverified)
  }
}

extension World {
  /// Signs anew at half of a record's life (protocol.md §4).
  static let renewalInterval = Duration.seconds(3_600)

  mutating func answerOfBackbone(_ lookup: LookupID, to id: HostID) -> BackboneAnswer {
    backbone.answer(lookup, of: id, to: hosts[id.number].keyHash) { target in
      guard let member = population?.census.member(target), let census = population?.census else {
        return nil
      }
      return population?.archive.record(of: member, in: census)
    }
  }

  /// Publishes a host's record now, and from then on whenever half of its life is over.
  public mutating func keepPublished(_ id: HostID) {
    publish(id, admitting: hosts[id.number].admitted)
    schedule(.renewal(id, life: hosts[id.number].life), at: now + Self.renewalInterval)
  }

  /// As ``keepPublished(_:)``, with others who may see where it is.
  public mutating func keepPublished(_ id: HostID, admitting others: [HostID]) {
    hosts[id.number].admitted = others.filter { $0 != id }
    keepPublished(id)
  }

  /// Publishes a relay's record, and returns it.
  mutating func publishRelay(_ id: HostID) -> PeerRecord? {
    publish(id)
    return backbone.record(of: self[id].peerID)
  }

  /// What a node tells for its next record is in it a moment later, as with a daemon.
  mutating func keepForRecord(_ event: NodeEvent, at id: HostID) {
    switch event {
    case .onionKeyMade(let key, let week): hosts[id.number].onionKey = (key, week)
    case .reservationsChanged(let places):
      hosts[id.number].reservations = places
      guard hosts[id.number].recordSequence > 0 else { return }
      schedule(.renewal(id, life: hosts[id.number].life), at: now + .milliseconds(100))
    default: break
    }
  }

  /// As ``keepPublished(_:)``, from a later moment on.
  public mutating func keepPublished(_ id: HostID, from wait: Duration) {
    schedule(.renewal(id, life: hosts[id.number].life), at: now + wait)
  }

  /// Signs a fresh record of a host, publishes it and gives it to the node; `admitting` may see where a
  /// private one is.
  public mutating func publish(
    _ id: HostID, admitting others: [HostID] = [], announcing outer: Endpoint? = nil,
    life: Duration = .seconds(7_200)
  ) {
    hosts[id.number].recordSequence += 1
    let endpoint = AnnouncedEndpoint(.interface, outer ?? self[id].plan.announced ?? self[id].endpoint)
    let isPublic = self[id].plan.serviceType == .lightPublic
    let relay = self[id].onionKey.map { RelayAnnouncement(onionKey: $0.key, week: $0.week) }
    let body = RecordBody(
      serviceType: self[id].plan.serviceType, keyHash: self[id].keyHash,
      sequence: SequenceNumber(hosts[id.number].recordSequence), expiry: wall + life,
      region: SimulatedBackbone.region, relayOffer: isPublic ? self[id].plan.relayOffer : 0,
      endpoints: isPublic ? [endpoint] : [], relay: relay)
    let part =
      isPublic
      ? nil
      : RecordPrivatePart(
        endpoints: [endpoint], admitted: others.map { self[$0].keyHash },
        salt: hosts[id.number].chance.bytes(16), reservations: hosts[id.number].reservations)
    let signed = self[id].plan.identity.sign(body, privatePart: part)
    hosts[id.number].admitted = others
    let record = population?.archive.note(signed) ?? signed
    if backbone.isReachable { backbone.publish(record) }
    with(id) { node, now in node.setOwnRecord(record, now: now) }
  }
}
