import MeshCrypto
import MeshNode
import MeshWire
import NIOCore
import NIOPosix
import Testing

@testable import NodeHost

@Suite("Nodes whose network lets no UDP through", .timeLimit(.minutes(1)))
struct StreamLoopTests {
  @Test("handshake and packets go over a TLS stream to a relay, and no datagram over UDP arrives")
  func throughTLS() async throws {
    // A port that is free now.
    let probe = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .bind(host: "127.0.0.1", port: 0).get()
    let port = UInt16(try #require(probe.localAddress?.port))
    try await probe.close()
    let client = try RunningNode()
    let relay = try RunningNode(
      serviceType: .lightPublic, streamServer: TestCertificate.server(port: port))
    // What the relay's record names over UDP leads nowhere.
    let nowhere = try UDPSocket(port: 0, address: .v4(0x7f00_0001))
    let offer = try KeyExchangeSecret().offer
    let relayKey = relay.identity
    let region = try #require(Region("test"))

    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await client.loop.run() }
      group.addTask { try await relay.loop.run() }
      let record = try await client.loop.perform { _, _, wall in
        try? PeerRecord.sign(
          RecordBody(
            serviceType: .lightPublic, keyHash: relayKey.keyHash, sequence: SequenceNumber(1),
            expiry: wall + .seconds(3_600), region: region, relayOffer: 10,
            endpoints: [AnnouncedEndpoint(.configured, nowhere.local)],
            relay: RelayAnnouncement(
              onionKey: offer, week: 1, streamPort: port, streamCertificate: TestCertificate.hash)),
          privatePart: nil, with: relayKey)
      }
      let bundle = try #require(record).bundle
      let lookup = Task {
        for await notice in client.loop.notices {
          switch notice {
          case .askBackbone(let id, _):
            try? await client.loop.perform { node, now, _ in
              guard let found = try? UnverifiedPeerRecord(bundle: bundle) else { return }
              node.backboneAnswered(id, .found(found), now: now)
            }
          case .event(.lookupFinished): return
          case .event: continue
          }
        }
      }
      _ = try await client.loop.perform { node, now, _ in node.lookUp(relayKey.keyHash.peerID, now: now) }
      await lookup.value
      try await relay.add(client, endpoints: [])
      try await client.add(relay, endpoints: [])

      let packet = client.packet(to: relay, (0..<1_240).map { UInt8(truncatingIfNeeded: $0) })
      client.device.put(packet)
      let received = relay.device.take(patience: 20_000)
      #expect(received == packet)
      let answer = relay.packet(to: client, [1, 2, 3])
      relay.device.put(answer)
      #expect(client.device.take(patience: 20_000) == answer)
      let kind = try await client.loop.perform { node, now, _ in
        node.status(now: now).peers.first?.path?.kind
      }
      #expect(kind == .stream)
      client.loop.stop()
      relay.loop.stop()
      try await group.waitForAll()
    }
    nowhere.close()
  }
}
