import Crypto

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Hashes, HMAC (RFC 2104) and HKDF (RFC 5869) over byte arrays. Lengths in bytes.
public enum Primitives {
  /// 32 bytes (FIPS 180-4).
  public static func sha256(_ message: [UInt8]) -> [UInt8] { array(SHA256.hash(data: message)) }

  /// 64 bytes (FIPS 180-4).
  public static func sha512(_ message: [UInt8]) -> [UInt8] { array(SHA512.hash(data: message)) }

  /// 64 bytes: the hash of the parts one after another, without joining them first.
  public static func sha512(parts: [[UInt8]]) -> [UInt8] {
    var hash = SHA512()
    for part in parts { hash.update(data: part) }
    return Array(hash.finalize())
  }

  /// 32 bytes.
  public static func hmacSHA256(key: [UInt8], _ message: [UInt8]) -> [UInt8] {
    array(HMAC<SHA256>.authenticationCode(for: message, using: SymmetricKey(data: key)))
  }

  /// 64 bytes.
  public static func hmacSHA512(key: [UInt8], _ message: [UInt8]) -> [UInt8] {
    array(HMAC<SHA512>.authenticationCode(for: message, using: SymmetricKey(data: key)))
  }

  /// HKDF-Extract of RFC 5869 §2.2 with SHA-512: a pseudorandom key of 64 bytes.
  public static func hkdfExtractSHA512(salt: [UInt8], inputKey: [UInt8]) -> [UInt8] {
    Array(HKDF<SHA512>.extract(inputKeyMaterial: SymmetricKey(data: inputKey), salt: salt))
  }

  /// HKDF-Expand of RFC 5869 §2.3 with SHA-512: `count` bytes, 0 to 16,320.
  public static func hkdfExpandSHA512(key: [UInt8], info: [UInt8], count: Int) -> [UInt8] {
    precondition((0...255 * 64).contains(count), "RFC 5869 §2.3 ends at 255 blocks")
    guard count > 0 else { return [] }  // the library traps
    let output = HKDF<SHA512>.expand(pseudoRandomKey: key, info: info, outputByteCount: count)
    return unsafe output.withUnsafeBytes { bytes in unsafe Array(bytes) }
  }
}

/// Compares two secrets in time that depends on their lengths only.
@inlinable
public func constantTimeEqual(_ a: some Collection<UInt8>, _ b: some Collection<UInt8>) -> Bool {
  guard a.count == b.count else { return false }
  var difference: UInt8 = 0
  for (x, y) in zip(a, b) { difference |= x ^ y }
  return difference == 0
}

/// A digest or a code as an array. As a sequence it would give its bytes one by one, which takes half as long
/// as computing it.
private func array(_ code: some ContiguousBytes) -> [UInt8] {
  unsafe code.withUnsafeBytes { unsafe Array($0) }
}
