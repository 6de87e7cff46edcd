import BackboneAPI
import MeshCrypto
import MeshNode
import MeshWire
import NodeHost

extension NodeLoop: PeerTable {
  func add(_ entry: PeerEntry) async throws {
    try await perform { node, now, _ in
      Result { () throws(PeerRefusal) in try node.addPeer(entry, now: now) }
    }.get()
  }

  func remove(_ peerID: PeerID) async throws {
    _ = try await perform { node, now, _ in node.removePeer(peerID, now: now) }
  }

  func addInvitation(secretHash: [UInt8], expires: WallTime) async throws -> Int? {
    try await perform { node, _, _ in node.addInvitation(secretHash: secretHash, expires: expires) }
  }
}

extension NodeLoop {
  /// The backbones that a login named: the node keeps sessions with them, to be introduced to its peers.
  func take(backbones: [BackboneNode]) async {
    let pins = backbones.map { BackbonePin(keyHash: $0.keyHash, endpoint: $0.endpoint) }
    // A node that has ended, or is too busy, is told again at the next login.
    try? await perform { node, now, _ in node.setBackbones(pins, now: now) }
  }

  /// Where this node may be reached, after a change; `hasMoved`: it is on another network with the same
  /// addresses.
  func take(ownEndpoints: [AnnouncedEndpoint], hasMoved: Bool) async {
    try? await perform { node, now, _ in
      node.addressesChanged(ownEndpoints, now: now)
      if hasMoved { node.networkChanged(now: now) }
    }
  }

  /// Servers that tell where this node seems to be.
  func take(stunServers: [Endpoint]) async {
    try? await perform { node, now, _ in node.setSTUNServers(stunServers, now: now) }
  }

  /// Verified records of relays to choose from.
  func take(relays: [PeerRecord]) async {
    try? await perform { node, now, _ in node.setRelays(relays, now: now) }
  }
}
