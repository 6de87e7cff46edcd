import ControlAPI
import MeshCrypto
import MeshNode
import MeshPaths
import MeshWire

extension PathReport {
  static let absent = absent(because: nil)

  static func absent(because trouble: String?) -> PathReport {
    PathReport(kind: "none", endpoint: "", reason: "no session" + (trouble.map { ": \($0)" } ?? ""))
  }

  init(_ path: PathStatus) {
    self.init(
      kind: path.kind.rawValue, hops: path.hops,
      endpoint: path.kind == .relayed ? "" : path.endpoint.description, reason: path.reason)
  }
}

extension PeerReport {
  init(_ entry: PeerBook.Entry, _ status: PeerStatus?, handshake: Duration?) {
    self.init(
      name: entry.name, peerID: entry.peerID.description,
      keyHash: (entry.keyHash ?? status?.keyHash)?.description,
      address: OverlayAddress(of: entry.peerID).description, allow: entry.allow,
      hops: entry.hops, session: status?.state.rawValue ?? PeerStatus.State.idle.rawValue,
      path: status?.path.map { PathReport($0) } ?? .absent(because: status?.trouble),
      sessionSeconds: status?.sessionAge.map { UInt64(max(0, $0.components.seconds)) },
      lastHeard: status?.lastHeard.map { UInt64(max(0, $0.components.seconds)) },
      sentBytes: status?.bytesOut ?? 0, receivedBytes: status?.bytesIn ?? 0,
      handshakeMilliseconds: handshake?.milliseconds)
  }
}

extension PortMappingReport {
  init(_ findings: PortMappingFindings) {
    self.init(
      summary: findings.description, endpoint: findings.mapped?.endpoint.description,
      by: findings.mapped?.by.description, gateway: findings.gateway?.description,
      pcp: findings.pcp.description, natPmp: findings.natPMP.description, upnp: findings.upnp.description)
  }
}

extension PeerRecord {
  /// It has a private part, which was not handed to us.
  var isWithheld: Bool { body.privatePartHash != nil && privatePart == nil }
}

extension LookUpReport {
  init(_ record: PeerRecord, from source: LookupSource, took: Duration) {
    let serviceType =
      switch record.body.serviceType {
      case .lightPrivate: "private"
      case .lightPublic: "public"
      case .backbone: "backbone"
      }
    self.init(
      peerID: record.peerID.description, keyHash: record.keyHash.description,
      address: OverlayAddress(of: record.peerID).description, region: record.body.region.name,
      serviceType: serviceType, sequence: record.body.sequence.value,
      expires: record.body.expiry.secondsSinceEpoch, endpoints: record.endpoints.map(\.description),
      endpointsWithheld: record.isWithheld,
      source: source.rawValue, milliseconds: took.milliseconds)
  }
}

extension PingReport {
  /// `outcome` is `nil` when the node did not end the ping in time. Throws for what no further ping would
  /// change.
  init(_ outcome: PingOutcome?, index: Int, peerID: PeerID, name: String) throws(ControlFailure) {
    func silence(_ message: String) -> PingReport {
      PingReport(
        index: index, peerID: peerID.description, milliseconds: nil, outcome: "no_answer", path: .absent,
        handshakeMilliseconds: nil, message: message)
    }
    switch outcome {
    case .answered(let roundTrip, let handshake, let path, let peerAddedUs):
      self.init(
        index: index, peerID: peerID.description, milliseconds: roundTrip.milliseconds,
        outcome: peerAddedUs ? "echo" : "unconfirmed", path: PathReport(path),
        handshakeMilliseconds: handshake?.milliseconds,
        message: peerAddedUs ? "" : "authenticated, unconfirmed: has \(name) added you?")
    case .unknownPeer:
      throw ControlFailure(
        .notFound, "\(name) is not a peer of this node",
        next: "shadowmesh peer add NAME \(peerID), or shadowmesh join LINE")
    case .notFound(let reason): self = silence("\(name) was not found: \(reason)")
    case .noAnswer(let tried):
      let places = tried.map(\.description).joined(separator: ", ")
      self = silence("\(name) does not answer at \(places.isEmpty ? "any address" : places)")
    case nil: self = silence("nothing came within \(ControlDesk.patience.components.seconds) s")
    }
  }
}
