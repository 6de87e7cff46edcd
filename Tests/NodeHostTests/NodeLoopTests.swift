import MeshCrypto
import MeshNode
import MeshWire
import Testing

@testable import NodeHost

/// A real node between a socket pair and loopback.
struct RunningNode {
  let identity: IdentityKey
  let device: PairedDevice
  let endpoint: Endpoint
  let loop: NodeLoop

  init(serviceType: ServiceType = .lightPrivate, streamServer: StreamServer? = nil) throws {
    identity = try IdentityKey()
    device = try PairedDevice()
    let socket = try UDPSocket(port: 0, address: .v4(0x7f00_0001))
    endpoint = socket.local
    loop = try NodeLoop(
      configuration: NodeConfiguration(
        region: try #require(Region("test")), serviceType: serviceType, permitsLoopback: true),
      identity: identity, socket: socket, device: device, streamServer: streamServer)
  }

  var address: [UInt8] { OverlayAddress(of: identity.keyHash.peerID).address.bytes }

  func add(_ peer: RunningNode, endpoints: [Endpoint]? = nil) async throws {
    let entry = PeerEntry(
      peerID: peer.identity.keyHash.peerID, keyHash: peer.identity.keyHash,
      publicKey: peer.identity.publicKey, inbound: InboundPermission(allowsAll: true),
      endpoints: endpoints ?? [peer.endpoint])
    let refusal = try await loop.perform { node, now, _ -> PeerRefusal? in
      do throws(PeerRefusal) { try node.addPeer(entry, now: now) } catch { return error }
      return nil
    }
    #expect(refusal == nil)
  }

  /// An IPv6 packet (RFC 8200 §3) of protocol 253, which RFC 3692 keeps for experiments.
  func packet(to peer: RunningNode, _ payload: [UInt8]) -> [UInt8] {
    [0x60, 0, 0, 0, UInt8(payload.count >> 8), UInt8(payload.count & 255), 253, 64]
      + address + peer.address + payload
  }
}

@Suite("Node loop", .timeLimit(.minutes(1)))
struct NodeLoopTests {
  @Test("two nodes meet over loopback and carry packets both ways, small and full-sized")
  func carriesPackets() async throws {
    let first = try RunningNode()
    let second = try RunningNode()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await first.loop.run() }
      group.addTask { try await second.loop.run() }
      try await first.add(second)
      try await second.add(first)
      for size in [8, 1_240] {
        for (sender, receiver) in [(first, second), (second, first)] {
          let packet = sender.packet(to: receiver, (0..<size).map { UInt8(truncatingIfNeeded: $0) })
          sender.device.put(packet)
          let received = receiver.device.take(patience: 20_000)
          #expect(received == packet, "\(size) bytes")
        }
      }
      first.loop.stop()
      second.loop.stop()
      try await group.waitForAll()
    }
  }
}
