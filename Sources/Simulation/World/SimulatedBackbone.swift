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

  mutating func ask(_ lookup: LookupID, _ target: PeerID, of host: HostID) -> Duration {
    asked[Question(host: host, lookup: lookup)] = target
    return isReachable ? roundTrip : patience
  }

  mutating func answer(_ lookup: LookupID, of host: HostID, to asker: KeyHash) -> BackboneAnswer {
    guard let target = asked.removeValue(forKey: Question(host: host, lookup: lookup)), isReachable else {
      return .unavailable("connection refused")
    }
    guard let record = records[target] else { return .notFound }
    let visible = record.admits(asker) ? record : record.withoutPrivatePart
    guard let unverified = try? UnverifiedPeerRecord(bundle: visible.bundle) else { return .notFound }
    return .found(unverified)
  }
}

extension World {
  /// Signs a fresh record of a host, publishes it and gives it to the node; `admitting` may see where a
  /// private one is.
  public mutating func publish(
    _ id: HostID, admitting others: [HostID] = [], announcing outer: Endpoint? = nil,
    life: Duration = .seconds(7_200)
  ) {
    hosts[id.number].recordSequence += 1
    let endpoint = AnnouncedEndpoint(.interface, outer ?? self[id].plan.announced ?? self[id].endpoint)
    let isPublic = self[id].plan.serviceType == .lightPublic
    let body = RecordBody(
      serviceType: self[id].plan.serviceType, keyHash: self[id].keyHash,
      sequence: SequenceNumber(hosts[id.number].recordSequence), expiry: wall + life,
      region: SimulatedBackbone.region, endpoints: isPublic ? [endpoint] : [])
    let part =
      isPublic
      ? nil
      : RecordPrivatePart(
        endpoints: [endpoint], admitted: others.map { self[$0].keyHash },
        salt: hosts[id.number].chance.bytes(16))
    let record = self[id].plan.identity.sign(body, privatePart: part)
    if backbone.isReachable { backbone.publish(record) }
    with(id) { node, now in node.setOwnRecord(record, now: now) }
  }
}
