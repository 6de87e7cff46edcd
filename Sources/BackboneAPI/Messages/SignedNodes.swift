import MeshCrypto
public import MeshWire

/// The part of a login's answer that names the backbone's nodes, with what it takes to verify it.
public struct SignedNodes: Codable, Hashable, Sendable {
  public let backboneNodes: [Node]
  /// When the list was signed, and until when it holds; seconds since 1970.
  public let nodesIssuedAt: UInt64
  public let nodesExpireAt: UInt64
  /// The backbone's signature over its ``BackboneNodeList``, base64.
  public let nodesSignature: String
  /// The backbone's public key, base64. Worth something only when its SHA-256 is the KeyHash that the client
  /// was configured with.
  public let backbonePublicKey: String

  /// One entry of `backbone_nodes`.
  public struct Node: Codable, Hashable, Sendable {
    public let region: String
    public let ip: String
    public let port: UInt16
    /// 64 hexadecimal digits.
    public let keyHash: String
    /// An address and port, `198.51.100.7:3478`; left out where there is no STUN server.
    public let stun: String?

    enum CodingKeys: String, CodingKey {
      case region, ip, port, stun
      case keyHash = "key_hash"
    }

    /// The same as the signed list has it; `nil` when a field isn't what its name says.
    public var node: BackboneNode? {
      guard let region = Region(region), let address = IPAddress(ip), let keyHash = KeyHash(hex: keyHash)
      else { return nil }
      let stunEndpoint = stun.flatMap { Endpoint($0) }
      guard stun == nil || stunEndpoint != nil else { return nil }
      return BackboneNode(
        region: region, endpoint: Endpoint(address, port: port), keyHash: keyHash, stun: stunEndpoint)
    }
  }

  enum CodingKeys: String, CodingKey {
    case backboneNodes = "backbone_nodes"
    case nodesIssuedAt = "nodes_issued_at"
    case nodesExpireAt = "nodes_expire_at"
    case nodesSignature = "nodes_signature"
    case backbonePublicKey = "backbone_public_key"
  }

  /// - Parameters:
  ///   - signature: over `list`, by `publicKey`.
  ///   - publicKey: the backbone's, 2,592 raw bytes.
  public init(_ list: BackboneNodeList, signature: [UInt8], publicKey: [UInt8]) {
    backboneNodes = list.nodes.map {
      Node(
        region: $0.region.name, ip: $0.endpoint.address.description, port: $0.endpoint.port,
        keyHash: $0.keyHash.description, stun: $0.stun?.description)
    }
    nodesIssuedAt = list.issued.secondsSinceEpoch
    nodesExpireAt = list.expiry.secondsSinceEpoch
    nodesSignature = Base64.encode(signature)
    backbonePublicKey = Base64.encode(publicKey)
  }

  /// The nodes, once the signature holds under the key that hashes to `backbone`, and `now` lies within the
  /// list's time give or take `tolerance`; `nil` otherwise.
  public func verified(from backbone: KeyHash, now: WallTime, tolerance: Duration) -> [BackboneNode]? {
    guard backboneNodes.count <= BackboneNodeList.maximumCount,
      let key = Base64.decode(backbonePublicKey).flatMap({ IdentityPublicKey($0) }),
      let signature = Base64.decode(nodesSignature)
    else { return nil }
    let nodes = backboneNodes.compactMap(\.node)
    let list = BackboneNodeList(
      issuer: backbone, issued: WallTime(secondsSinceEpoch: nodesIssuedAt),
      expiry: WallTime(secondsSinceEpoch: nodesExpireAt), nodes: nodes)
    guard nodes.count == backboneNodes.count, list.issued < now + tolerance, now < list.expiry + tolerance,
      list.isSigned(signature, by: key)
    else { return nil }
    return nodes
  }
}
