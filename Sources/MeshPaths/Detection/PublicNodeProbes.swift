import MeshWire

/// Where public nodes see this node's packets come from: asked only where servers left the mapping open, as a
/// backbone with one address does, or one whose UDP side is down.
///
/// Anybody can be a public node. So what one of them says counts only where another one, at another address,
/// or a server says the same; and a mapping for each destination is believed only of ``doubters`` that all
/// differ. One liar can't change what is found, two can send a few packets astray.
struct PublicNodeProbes: Sendable {
  /// Different answers that it takes, a server's among them, to call the mapping one for each destination.
  static let doubters = 3

  private var probes: [STUNProbe] = []

  var isBegun: Bool { !probes.isEmpty }
  var isWaiting: Bool { probes.contains(where: \.isWaiting) }
  var asked: Int { probes.count }
  var answered: Int { probes.count { $0.response?.mappedEndpoint != nil } }
  var nextDeadlines: [Instant] { probes.compactMap(\.nextDeadline) }

  mutating func begin(
    _ nodes: [Endpoint], transactions: some Sequence<STUNTransaction>, now: Instant,
    into sends: inout [STUNSend]
  ) {
    probes = zip(nodes, transactions).map { STUNProbe($1, to: $0, now: now) }
    advance(to: now, into: &sends)
  }

  mutating func advance(to now: Instant, into sends: inout [STUNSend]) {
    for index in probes.indices { probes[index].advance(to: now, into: &sends) }
  }

  mutating func take(_ message: STUNMessage, from source: Endpoint, now: Instant) -> Bool {
    for index in probes.indices where probes[index].take(message, from: source, now: now) { return true }
    return false
  }

  mutating func giveUp() {
    for index in probes.indices { probes[index].giveUp() }
  }

  /// What the answers come to.
  ///
  /// - Parameter byServer: what a server saw, where one answered.
  func verdict(
    with byServer: Endpoint?, permits: (Endpoint) -> Bool
  ) -> (reflexive: Endpoint, mapping: NATMapping)? {
    let seen = [byServer].compactMap(\.self) + probes.compactMap(\.response?.mappedEndpoint).filter(permits)
    var counts: [Endpoint: Int] = [:]
    for endpoint in seen { counts[endpoint, default: 0] += 1 }
    if let agreed = seen.first(where: { counts[$0, default: 0] > 1 }) {
      // What a server saw is where packets to it come from; two nodes that see something else may be one liar
      // twice, or the NAT has a mapping for each of them.
      guard let byServer, byServer != agreed else { return (agreed, .endpointIndependent) }
      return (byServer, .unknown)
    }
    guard counts.count >= Self.doubters else { return byServer.map { ($0, .unknown) } }
    return (seen[0], .addressAndPortDependent)
  }
}
