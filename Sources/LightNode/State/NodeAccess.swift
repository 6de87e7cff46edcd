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
