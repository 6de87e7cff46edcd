import Backbone
import Logging
import MeshCrypto
import MeshNode
import MeshWire
import NodeHost
import Observability
import ServiceLifecycle
import Testing

@Suite("SMH/1 endpoint of a backbone", .timeLimit(.minutes(1))) struct MeshEndpointTests {
  private static let loopback = IPAddress.v4(0x7f00_0001)

  private func endpoint(_ registry: PrometheusRegistry) throws -> MeshEndpoint {
    try MeshEndpoint(
      listen: Endpoint(Self.loopback, port: 0), region: Fixture.region, identity: Fixture.backboneKey,
      metrics: registry, logger: Logger(label: "test"))
  }

  @Test func `a node keeps a session with it, is no peer of it, and the metrics count that`() async throws {
    let registry = PrometheusRegistry()
    let backbone = try endpoint(registry)
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let group = ServiceGroup(configuration: .init(services: [backbone], logger: logger))
    let node = try NodeLoop(
      configuration: NodeConfiguration(
        region: Fixture.region, serviceType: .lightPrivate, permitsLoopback: true),
      identity: Fixture.alice, socket: try UDPSocket(port: 0, address: Self.loopback),
      device: try NullDevice())
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await group.run() }
      tasks.addTask { try await node.run() }
      let keyHash = Fixture.backboneKey.keyHash
      _ = try await node.perform { core, now, _ in
        let entry = PeerEntry(peerID: keyHash.peerID, keyHash: keyHash, endpoints: [backbone.local])
        try? core.addPeer(entry, now: now)
        return core.ping(keyHash.peerID, now: now)
      }
      for await case .event(.pingFinished(_, let outcome)) in node.notices {
        if case .answered(_, _, _, peerAddedUs: false) = outcome { break }
        // On a machine that is busy with other tests a ping may come too early: the test's time limit stands.
        guard case .noAnswer = outcome else {
          Issue.record("\(outcome)")
          break
        }
        _ = try await node.perform { core, now, _ in core.ping(keyHash.peerID, now: now) }
      }
      await group.triggerGracefulShutdown()
      node.stop()
      try await tasks.waitForAll()
    }
    let text = registry.render()
    #expect(text.contains("shadowmesh_datagrams_total{direction=\"in\"}"))
    #expect(!text.contains("shadowmesh_packets_total{direction=\"out\"} 1"))
    #expect(text.contains("shadowmesh_control_sessions"))
  }

  @Test func `a port that is taken is named, with what to do`() throws {
    let registry = PrometheusRegistry()
    let first = try endpoint(registry)
    #expect {
      try MeshEndpoint(
        listen: first.local, region: Fixture.region, identity: Fixture.backboneKey, metrics: registry,
        logger: Logger(label: "test"))
    } throws: { error in
      "\(error)".contains("127.0.0.1 UDP port \(first.local.port): Address already in use")
    }
  }
}
