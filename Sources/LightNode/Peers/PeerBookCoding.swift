import ControlAPI
import Foundation
import MeshCrypto
import MeshWire

extension PeerBook {
  /// The file's content: JSON with a version, so that a later release can tell.
  private struct Stored: Codable {
    struct Peer: Codable {
      var name: PeerName
      var peerID: String
      var keyHash: String?
      var publicKey: Data?
      var allow: [PortRule]
      var hops: HopCount?
      var endpoints: [String]
    }
    var version: Int
    var peers: [Peer]
  }

  /// Why stored bytes are not a peer book.
  struct Unreadable: Error, Hashable { let reason: String }

  /// The bytes for the state file.
  func encoded() throws -> [UInt8] {
    let stored = Stored(
      version: 1,
      peers: entries.map { entry in
        Stored.Peer(
          name: entry.name, peerID: entry.peerID.description, keyHash: entry.keyHash?.description,
          publicKey: entry.publicKey.map { Data($0) }, allow: entry.allow,
          hops: entry.hops, endpoints: entry.endpoints.map(\.description))
      })
    return Array(try ControlLine.encoder(pretty: true).encode(stored))
  }

  /// Reads ``encoded()``. A book with any entry that does not hold is refused whole, never read in part.
  init(encoded: [UInt8], ourself: PeerID) throws(Unreadable) {
    let stored: Stored
    do {
      stored = try JSONDecoder.stateFile.decode(Stored.self, from: Data(encoded))
    } catch { throw Unreadable(reason: "it is not the JSON of a peer book") }
    guard stored.version == 1 else { throw Unreadable(reason: "it has version \(stored.version)") }
    self.init(ourself: ourself)
    for peer in stored.peers {
      guard let peerID = PeerID(hex: peer.peerID) else {
        throw Unreadable(reason: "\(peer.name) has no proper PeerID")
      }
      let keyHash = peer.keyHash.flatMap { KeyHash(hex: $0) }
      guard peer.keyHash == nil || keyHash != nil else {
        throw Unreadable(reason: "\(peer.name) has no proper KeyHash")
      }
      do {
        try add(
          peer.name, peerID, keyHash: keyHash, allow: peer.allow, hops: peer.hops,
          endpoints: peer.endpoints.compactMap { Endpoint($0) })
        if let publicKey = peer.publicKey {
          guard let keyHash, IdentityPublicKey(publicKey)?.keyHash == keyHash else {
            throw Unreadable(reason: "\(peer.name) has the public key of another")
          }
          _ = try learned(keyHash, publicKey: Array(publicKey), endpoints: [])
        }
      } catch let unreadable as Unreadable {
        throw unreadable
      } catch { throw Unreadable(reason: "\(peer.name): \(error)") }
    }
  }
}

extension JSONDecoder {
  /// Reads what `ControlLine.encoder` writes to disk.
  static var stateFile: JSONDecoder {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = ControlLine.keyDecodingStrategy
    return decoder
  }
}
