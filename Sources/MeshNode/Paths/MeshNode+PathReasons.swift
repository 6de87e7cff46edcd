import MeshCrypto
import MeshPaths
import MeshSession
import MeshWire

extension MeshNode {
  /// The path that a neighbour's packets take, and why.
  func pathStatus(_ neighbour: Neighbour) -> PathStatus? {
    guard let live = neighbour.current else { return nil }
    let kind = pathKind(of: live.endpoint)
    switch kind {
    case .local: return status(.local, 0, live, live.origin.rawValue)
    case .direct: return status(.direct, 0, live, live.origin.rawValue)
    case .stream: return status(.stream, 0, live, "UDP is blocked here: a TLS stream")
    case .relayed(let hops):
      let through = hops == 1 ? "one node" : "\(hops) nodes"
      let obstacle = obstacle(to: neighbour)
      var path = status(.relayed, hops, live, "\(obstacle.rawValue): relayed through \(through)")
      path.obstacle = obstacle
      return path
    }
  }

  private func status(
    _ kind: PathStatus.Kind, _ hops: Int, _ live: LiveSession, _ reason: String
  ) -> PathStatus {
    PathStatus(
      kind: kind, hops: hops, endpoint: live.endpoint, reason: reason, payload: live.session.pathPayload)
  }

  /// Why there is no direct path, as far as both ends know their NATs.
  private func obstacle(to neighbour: Neighbour) -> PathStatus.Obstacle {
    let theirs = records.lastKnown(neighbour.peerID)?.body
    let mine = ownBehaviour
    let (here, there) = (mine?.mapping ?? .unknown, theirs?.mapping ?? .unknown)
    if streams.isUDPBlocked == true { return .udpBlockedHere }
    if hasNoCommonFamily(with: neighbour) { return .noCommonFamily }
    switch (Self.isSymmetric(here), Self.isSymmetric(there)) {
    case (true, true): return .symmetricBoth
    case (true, false):
      return theirs?.filtering == .addressAndPortDependent ? .symmetricHereStrictThere : .symmetricHere
    case (false, true):
      return mine?.filtering == .addressAndPortDependent ? .symmetricThereStrictHere : .symmetricThere
    case (false, false): return .unknown
    }
  }

  /// Whether all addresses of the other end that are known, and all of ours, are of different families.
  private func hasNoCommonFamily(with neighbour: Neighbour) -> Bool {
    let named = neighbour.candidates.map(\.endpoint).filter { $0.carrier == .udp }
    let theirs = named + (records.lastKnown(neighbour.peerID)?.endpoints ?? [])
    let ours = addresses.candidates.map(\.endpoint)
    guard !theirs.isEmpty, !ours.isEmpty else { return false }
    return Set(theirs.map(Self.isIPv4)).isDisjoint(with: ours.map(Self.isIPv4))
  }

  private static func isIPv4(_ endpoint: Endpoint) -> Bool {
    if case .v4 = endpoint.address { true } else { false }
  }

  static func isSymmetric(_ mapping: NATBehaviour) -> Bool {
    mapping == .addressDependent || mapping == .addressAndPortDependent
  }

  /// What our own record says of the NAT before us.
  private var ownBehaviour: (mapping: NATBehaviour, filtering: NATBehaviour)? {
    ownRecord.map { ($0.body.mapping, $0.body.filtering) }
  }
}
