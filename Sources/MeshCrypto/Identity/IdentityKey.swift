import Crypto
public import MeshWire

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A node's identity: an ML-DSA-87 signing key (FIPS 204). A secret, so without equality and description.
public struct IdentityKey: Sendable {
  /// Size of the seed that the key is stored as (FIPS 204 §5.1, ξ), in bytes.
  public static let seedSize = 32

  private let key: MLDSA87.PrivateKey

  /// The public half, derived once: the library derives it anew at each reading (0.2 ms).
  public let publicKey: IdentityPublicKey

  /// Draws a new key from the system's randomness. About 0.6 ms.
  public init() throws(KeyFailure) {
    do { try self.init(MLDSA87.PrivateKey()) } catch { throw .unavailable }
  }

  /// Expands a stored seed of exactly 32 bytes.
  public init(seed: some Collection<UInt8>) throws(KeyFailure) {
    guard seed.count == Self.seedSize else { throw .badSeed }
    do {
      try self.init(MLDSA87.PrivateKey(seedRepresentation: Array(seed), publicKey: nil))
    } catch { throw .badSeed }
  }

  private init(_ key: MLDSA87.PrivateKey) throws {
    self.key = key
    guard let publicKey = IdentityPublicKey(key.publicKey.rawRepresentation) else {
      throw KeyFailure.unavailable
    }
    self.publicKey = publicKey
  }

  /// The 32 bytes to store. Handle as the secret that they are.
  public var seed: [UInt8] { Array(key.seedRepresentation) }

  public var keyHash: KeyHash { publicKey.keyHash }

  /// Signs, hedged (FIPS 204 §3.4): 4,627 bytes, 1 ms on average and 3.5 ms at p99, because of rejection
  /// sampling.
  public func sign(
    _ message: [UInt8], context: SignatureContext
  ) throws(KeyFailure) -> [UInt8] {
    do { return Array(try key.signature(for: message, context: context.bytes)) } catch {
      throw .unavailable
    }
  }
}

/// Why a key could not be made or used.
public enum KeyFailure: Error, Sendable {
  /// A seed that is not 32 bytes, or that the library refused.
  case badSeed
  /// The library failed: no memory or no randomness.
  case unavailable
}
