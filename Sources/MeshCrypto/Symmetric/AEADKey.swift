private import CLibcrypto

/// The AEADs of SMH/1. Both take 32-byte keys and 12-byte nonces and give 16-byte tags.
public enum AEADSuite: UInt8, CaseIterable, Sendable {
  /// AES-256-GCM (NIST SP 800-38D).
  case aes256GCM = 1
  /// ChaCha20-Poly1305 (RFC 8439).
  case chaCha20Poly1305 = 2
}

/// One AEAD key, with a cipher context that is expanded once and used for every packet, in place.
///
/// libcrypto and not swift-crypto, because the latter's public API takes and returns heap buffers: three
/// times the time and several allocations a packet. A class, because the context lives in C; it holds no
/// state between calls other than the key, so sharing it between copies of a value is harmless, but two
/// threads may not use it at once.
@safe public final class AEADKey {
  /// Size of a key, in bytes.
  public static let keySize = 32
  /// Size of a tag, in bytes.
  public static let tagSize = 16

  private let sealing: OpaquePointer
  private let opening: OpaquePointer

  /// Expands a key of exactly 32 bytes.
  public init(_ suite: AEADSuite, key: [UInt8]) {
    precondition(key.count == Self.keySize, "both suites take 32-byte keys")
    unsafe sealing = Self.context(suite, key, sealing: true)
    unsafe opening = Self.context(suite, key, sealing: false)
  }

  deinit {
    unsafe EVP_CIPHER_CTX_free(sealing)  // cleanses the expanded key
    unsafe EVP_CIPHER_CTX_free(opening)
  }

  private static func context(_ suite: AEADSuite, _ key: [UInt8], sealing: Bool) -> OpaquePointer {
    let cipher =
      switch suite {
      case .aes256GCM: unsafe EVP_aes_256_gcm()
      case .chaCha20Poly1305: unsafe EVP_chacha20_poly1305()
      }
    guard let context = unsafe EVP_CIPHER_CTX_new() else {
      preconditionFailure("no memory for a cipher context")
    }
    let status = unsafe key.withUnsafeBufferPointer { key in
      unsafe EVP_CipherInit_ex(context, cipher, nil, key.baseAddress, nil, sealing ? 1 : 0)
    }
    precondition(status == 1, "libcrypto offers no \(suite): it is older than 1.1.0 or was built without it")
    return unsafe context
  }

  /// Encrypts `text` in place and writes the tag of 16 bytes.
  ///
  /// - Parameters:
  ///   - counter: the nonce is four zero bytes and this, big-endian. Never twice under one key.
  ///   - associated: authenticated, not encrypted.
  public func seal(
    _ text: inout MutableSpan<UInt8>, counter: UInt64, associated: Span<UInt8>,
    tag: inout MutableSpan<UInt8>
  ) {
    precondition(tag.count == Self.tagSize, "a tag is 16 bytes")
    let done = unsafe text.withUnsafeMutableBufferPointer { text in
      unsafe associated.withUnsafeBufferPointer { associated in
        unsafe tag.withUnsafeMutableBufferPointer { tag in
          unsafe Self.crypt(sealing, text, counter, associated)
            && EVP_CIPHER_CTX_ctrl(
              sealing, EVP_CTRL_AEAD_GET_TAG, Int32(Self.tagSize), tag.baseAddress) == 1
        }
      }
    }
    precondition(done, "sealing has no failure but misuse")
  }

  /// Decrypts `text` in place and returns whether the tag holds. When it doesn't, `text` is overwritten and
  /// worthless.
  public func open(
    _ text: inout MutableSpan<UInt8>, counter: UInt64, associated: Span<UInt8>, tag: Span<UInt8>
  ) -> Bool {
    guard tag.count == Self.tagSize else { return false }
    return unsafe text.withUnsafeMutableBufferPointer { text in
      unsafe associated.withUnsafeBufferPointer { associated in
        unsafe tag.withUnsafeBufferPointer { tag in
          // libcrypto takes the expected tag through a pointer that it doesn't write to.
          unsafe EVP_CIPHER_CTX_ctrl(
            opening, EVP_CTRL_AEAD_SET_TAG, Int32(Self.tagSize),
            UnsafeMutablePointer(mutating: tag.baseAddress)) == 1
            && Self.crypt(opening, text, counter, associated)
        }
      }
    }
  }

  private static func crypt(
    _ context: OpaquePointer, _ text: UnsafeMutableBufferPointer<UInt8>, _ counter: UInt64,
    _ associated: UnsafeBufferPointer<UInt8>
  ) -> Bool {
    var written: Int32 = 0
    var nonce: (UInt32, UInt32, UInt32) = (
      0, UInt32(truncatingIfNeeded: counter >> 32).bigEndian,
      UInt32(truncatingIfNeeded: counter).bigEndian
    )
    let started = unsafe withUnsafeBytes(of: &nonce) { nonce in
      unsafe EVP_CipherInit_ex(
        context, nil, nil, nil, nonce.baseAddress?.assumingMemoryBound(to: UInt8.self), -1)
    }
    guard started == 1 else { return false }
    // A null output says "associated data"; an empty span has a null base, which libcrypto takes for the end.
    if associated.count > 0 {
      guard
        unsafe EVP_CipherUpdate(
          context, nil, &written, associated.baseAddress, Int32(associated.count)) == 1
      else { return false }
    }
    if text.count > 0 {
      guard
        unsafe EVP_CipherUpdate(
          context, text.baseAddress, &written, text.baseAddress, Int32(text.count)) == 1
      else { return false }
    }
    var nothing: (UInt64, UInt64) = (0, 0)
    return unsafe withUnsafeMutableBytes(of: &nothing) { nothing in
      unsafe EVP_CipherFinal_ex(
        context, nothing.baseAddress?.assumingMemoryBound(to: UInt8.self), &written) == 1
    }
  }
}

extension AEADKey {
  /// Seals a whole message: ciphertext of the same length, and its tag. For control paths; packets go in
  /// place.
  public func seal(_ text: [UInt8], counter: UInt64, associated: [UInt8]) -> (text: [UInt8], tag: [UInt8]) {
    var text = text
    var tag = [UInt8](repeating: 0, count: Self.tagSize)
    var textSpan = text.mutableSpan
    var tagSpan = tag.mutableSpan
    seal(&textSpan, counter: counter, associated: associated.span, tag: &tagSpan)
    return (text, tag)
  }

  /// Opens a whole message; `nil` when the tag does not hold.
  public func open(_ text: [UInt8], counter: UInt64, associated: [UInt8], tag: [UInt8]) -> [UInt8]? {
    var text = text
    var span = text.mutableSpan
    guard open(&span, counter: counter, associated: associated.span, tag: tag.span) else { return nil }
    return text
  }
}
