public import MeshCrypto
public import MeshWire

/// What a node signs to log in, under ``SignatureContext/login``.
///
/// Each field in this order, preceded by its length as a 16-bit big-endian integer: the purpose
/// `shadowmesh login`, the audience (an ``Origin`` as text), the region, the backbone's KeyHash, the
/// challenge's raw bytes, the node's KeyHash. The lengths keep one field from running into the next; every
/// field but the challenge comes from the signer's own configuration.
public struct LoginStatement: Hashable, Sendable {
  /// The first field of every login statement.
  public static let purpose = "shadowmesh login"

  public let audience: Origin
  public let region: Region
  public let backbone: KeyHash
  public let challenge: [UInt8]
  public let node: KeyHash

  public init(audience: Origin, region: Region, backbone: KeyHash, challenge: [UInt8], node: KeyHash) {
    self.audience = audience
    self.region = region
    self.backbone = backbone
    self.challenge = challenge
    self.node = node
  }

  /// The bytes that are signed.
  public var bytes: [UInt8] {
    var writer = ByteWriter(reserving: 320)
    writer.write(prefixed: Self.purpose.utf8)
    writer.write(prefixed: audience.description.utf8)
    writer.write(prefixed: region.name.utf8)
    writer.write(prefixed: backbone.bytes)
    writer.write(prefixed: challenge)
    writer.write(prefixed: node.bytes)
    return writer.bytes
  }

  /// Signs the statement; takes about a millisecond.
  public func signed(by key: IdentityKey) throws(KeyFailure) -> [UInt8] {
    try key.sign(bytes, context: .login)
  }

  /// Whether `signature` is `key`'s over exactly this statement, made for a login and nothing else.
  public func isSigned(_ signature: [UInt8], by key: IdentityPublicKey) -> Bool {
    key.keyHash == node && key.verifies(signature, of: bytes, context: .login)
  }
}

extension ByteWriter {
  /// Appends a field of at most 65,535 bytes after its length as a 16-bit integer. Longer fields are cut: no
  /// caller has one, since every field is bounded where it is read.
  mutating func write(prefixed field: some Collection<UInt8>) {
    let field = field.prefix(Int(UInt16.max))
    write(UInt16(field.count))
    write(field)
  }
}
