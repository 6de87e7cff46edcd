import MeshCrypto
public import MeshWire

/// A one-time secret that admits a node to a backbone whose admission is by invite.
public struct Invite: Hashable, Sendable {
  /// 32 hexadecimal digits. Only its hash is stored.
  public let secret: String
  public let expiry: WallTime

  /// A fresh secret from the system's randomness, kept in `store` until it is used or expires.
  public static func create(expiry: WallTime, in store: some Store) async throws -> Invite {
    let secret = secureRandomBytes(16).hex
    try await store.addInvite(secretHash: hash(of: secret), expiry: expiry)
    return Invite(secret: secret, expiry: expiry)
  }

  /// SHA-256: enough for a secret of 128 random bits.
  static func hash(of secret: String) -> [UInt8] { Primitives.sha256(Array(secret.utf8)) }
}
