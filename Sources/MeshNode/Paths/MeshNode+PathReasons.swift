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
      return status(.relayed, hops, live, "\(obstacle(to: neighbour)): relayed through \(through)")
    }
  }

  private func status(
    _ kind: PathStatus.Kind, _ hops: Int, _ live: LiveSession, _ reason: String
  ) -> PathStatus {
    PathStatus(
      kind: kind, hops: hops, endpoint: live.endpoint, reason: reason, payload: live.session.pathPayload)
  }

  /// Why there is no direct path, as far as both ends know their NATs.
  private func obstacle(to neighbour: Neighbour) -> String {
    let theirs = records.lastKnown(neighbour.peerID)?.body
    let mine = ownBehaviour
    let (here, there) = (mine?.mapping ?? .unknown, theirs?.mapping ?? .unknown)
    switch (Self.isSymmetric(here), Self.isSymmetric(there)) {
    case (true, true): return "symmetric NAT on both sides"
    case (true, false):
      return theirs?.filtering == .addressAndPortDependent
        ? "symmetric NAT here, a port-restricted one there" : "symmetric NAT here"
    case (false, true):
      return mine?.filtering == .addressAndPortDependent
        ? "symmetric NAT there, a port-restricted one here" : "symmetric NAT there"
    case (false, false): return "no direct path has answered yet"
    }
  }

  static func isSymmetric(_ mapping: NATBehaviour) -> Bool {
    mapping == .addressDependent || mapping == .addressAndPortDependent
  }

  /// What our own record says of the NAT before us.
  private var ownBehaviour: (mapping: NATBehaviour, filtering: NATBehaviour)? {
    ownRecord.map { ($0.body.mapping, $0.body.filtering) }
  }
}
