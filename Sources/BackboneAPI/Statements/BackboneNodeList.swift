public import MeshCrypto
public import MeshWire

/// One backbone node as its operator announces it.
public struct BackboneNode: Hashable, Sendable {
  public let region: Region
  /// Where it speaks SMH/1, over UDP.
  public let endpoint: Endpoint
  /// Pins its identity.
  public let keyHash: KeyHash
  /// Where its STUN server answers (RFC 8489); `nil` for none.
  public let stun: Endpoint?

  public init(region: Region, endpoint: Endpoint, keyHash: KeyHash, stun: Endpoint? = nil) {
    self.region = region
    self.endpoint = endpoint
    self.keyHash = keyHash
    self.stun = stun
  }
}

/// The backbone nodes that a login answer names, signed by the backbone under
/// ``SignatureContext/operatorStatement``.
///
/// Signed bytes: the purpose `shadowmesh backbone nodes 2` and the issuer's KeyHash, each after its length as
/// a 16-bit integer; the time of issue and the expiry, 64-bit seconds since 1970; the number of nodes, 16
/// bits; then for each its region after a 16-bit length, its 19-byte ``Endpoint``, its 32-byte KeyHash, and 1
/// with the 19-byte ``Endpoint`` of its STUN server, or 0.
public struct BackboneNodeList: Hashable, Sendable {
  public static let purpose = "shadowmesh backbone nodes 2"
  /// A list with more is refused.
  public static let maximumCount = 64

  public let issuer: KeyHash
  public let issued: WallTime
  public let expiry: WallTime
  public let nodes: [BackboneNode]

  public init(issuer: KeyHash, issued: WallTime, expiry: WallTime, nodes: [BackboneNode]) {
    self.issuer = issuer
    self.issued = issued
    self.expiry = expiry
    self.nodes = nodes
  }

  /// The bytes that are signed.
  public var bytes: [UInt8] {
    var writer = ByteWriter(reserving: 256)
    writer.write(prefixed: Self.purpose.utf8)
    writer.write(prefixed: issuer.bytes)
    writer.write(issued.secondsSinceEpoch)
    writer.write(expiry.secondsSinceEpoch)
    writer.write(UInt16(nodes.prefix(Self.maximumCount).count))
    for node in nodes.prefix(Self.maximumCount) {
      writer.write(prefixed: node.region.name.utf8)
      writer.write(node.endpoint)
      writer.write(node.keyHash)
      writer.write(UInt8(node.stun == nil ? 0 : 1))
      if let stun = node.stun { writer.write(stun) }
    }
    return writer.bytes
  }

  /// Signs the list; takes about a millisecond.
  public func signed(by key: IdentityKey) throws(KeyFailure) -> [UInt8] {
    try key.sign(bytes, context: .operatorStatement)
  }

  /// Whether `signature` is `key`'s over exactly this list, and `key` is the issuer's.
  public func isSigned(_ signature: [UInt8], by key: IdentityPublicKey) -> Bool {
    key.keyHash == issuer && key.verifies(signature, of: bytes, context: .operatorStatement)
  }
}
