import MeshCrypto
import MeshWire
import Testing

@testable import MeshNode

/// What `ping`, `peers` and `status` say of a path through relays.
@Suite("Reasons of relayed paths")
struct PathReasonTests {
  /// Both ends know of each other's NAT what their records say.
  private func reason(
    here: (NATBehaviour, NATBehaviour), there: (NATBehaviour, NATBehaviour),
    change: (inout MeshNode) -> Void = { _ in }
  ) throws -> String {
    var world = try RelayInternet(relays: 4, hops: 2)
    let (a, b) = (world.a, world.b)
    try world.begin()
    try world.publish(a, admitting: b, sequence: 2, mapping: here.0, filtering: here.1)
    try world.publish(b, admitting: a, sequence: 2, mapping: there.0, filtering: there.1)
    world.net.transmit(world.packet(from: a, to: b), from: a)
    world.net.run(.seconds(5))
    guard case .records(let known) = world.net.backbone, let bundle = known[world.net.peerID(b)] else {
      preconditionFailure("just published")
    }
    let record = try UnverifiedPeerRecord(bundle: bundle).verified(at: world.net.wall)
    try world.net.hosts[a].node.store(record, now: world.net.now)
    change(&world.net.hosts[a].node)
    return try #require(world.net.state(of: b, at: a)?.path?.reason)
  }

  private static let symmetric: (NATBehaviour, NATBehaviour) = (
    .addressAndPortDependent, .addressAndPortDependent
  )
  private static let port: (NATBehaviour, NATBehaviour) = (.endpointIndependent, .addressAndPortDependent)
  private static let cone: (NATBehaviour, NATBehaviour) = (.endpointIndependent, .endpointIndependent)

  @Test("what both ends know of their NATs is named, and how many relays there are")
  func nats() throws {
    let through = ": relayed through 2 nodes"
    #expect(
      try reason(here: Self.symmetric, there: Self.symmetric) == "symmetric NAT on both sides" + through)
    #expect(
      try reason(here: Self.symmetric, there: Self.port)
        == "symmetric NAT here, a port-restricted one there" + through)
    #expect(
      try reason(here: Self.port, there: Self.symmetric)
        == "symmetric NAT there, a port-restricted one here" + through)
    #expect(try reason(here: Self.symmetric, there: Self.cone) == "symmetric NAT here" + through)
    #expect(try reason(here: Self.cone, there: Self.port) == "no direct path has answered yet" + through)
  }

  @Test("where no NAT is the reason, none is named")
  func others() throws {
    let through = ": relayed through 2 nodes"
    #expect(
      try reason(here: Self.symmetric, there: Self.symmetric) { $0.streams.isUDPBlocked = true }
        == "UDP is blocked here" + through)
    #expect(
      try reason(here: Self.symmetric, there: Self.symmetric) {
        $0.addresses.observed = []
        $0.addresses.announced = [AnnouncedEndpoint(.interface, Endpoint(.v6(0x2001_0db8 << 96), port: 9))]
      } == "no address family in common" + through)
  }
}
