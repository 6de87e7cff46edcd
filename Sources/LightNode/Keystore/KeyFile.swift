import Crypto
import CryptoExtras
import Foundation
public import MeshCrypto
public import MeshWire

/// The identity on disk: header, seed (plain or sealed under a passphrase), checksum.
///
///     magic 8 "SMESHKEY" | version 1 = 1 | kind 1 | KeyHash 32
///     kind 0:  seed 32
///     kind 1:  log2(N) 1 | r 1 | p 1 | salt 16 | nonce 12 | sealed seed 32 | tag 16
///     SHA-256 of everything before it, 32
///
/// Kind 1 is ChaCha20-Poly1305 (RFC 8439) under scrypt (RFC 7914), with all bytes before the sealed seed as
/// associated data. The KeyHash lets `shadowmesh id` answer without the passphrase, and catches a wrong seed.
public struct KeyFile: Sendable {
  /// Where the seed is.
  enum Contents: Sendable {
    case plain(seed: [UInt8])
    case sealed(Sealed)
  }

  struct Sealed: Sendable {
    var log2N: UInt8
    var blockSize: UInt8
    var parallelism: UInt8
    var salt: [UInt8]
    var nonce: [UInt8]
    var ciphertext: [UInt8]
    var tag: [UInt8]
  }

  /// Why bytes are not a key file, or do not open.
  public enum Refusal: Error, Hashable, Sendable {
    /// Not a key file at all, or one cut off inside its header.
    case notAKeyFile
    /// Written by a later release.
    case unknownVersion(UInt8)
    /// The checksum or a field is wrong: half-written or altered.
    case damaged
    /// It is sealed, and no passphrase was given.
    case passphraseNeeded
    /// The passphrase does not open it.
    case wrongPassphrase
  }

  /// Whose key this is, as the header says.
  public let keyHash: KeyHash
  let contents: Contents

  public var isSealed: Bool {
    switch contents {
    case .plain: false
    case .sealed: true
    }
  }

  static let magic = Array("SMESHKEY".utf8)
  static let version: UInt8 = 1
  /// N = 2^15, r = 8, p = 3: 32 MiB and the cost that OWASP's password storage sheet gives for scrypt.
  static let cost: (log2N: UInt8, blockSize: UInt8, parallelism: UInt8) = (15, 8, 3)
  /// Costs that a file may name: at most 64 MiB, so that an altered file cannot exhaust memory.
  static let acceptedLog2N: ClosedRange<UInt8> = 14...16

  /// A file without a passphrase.
  public init(plain key: IdentityKey) {
    keyHash = key.keyHash
    contents = .plain(seed: key.seed)
  }

  /// A file that needs `passphrase` (not empty). Takes a tenth of a second or more.
  public init(sealing key: IdentityKey, passphrase: [UInt8]) throws {
    var random = SystemRandomNumberGenerator()
    let salt = (0..<16).map { _ in UInt8.random(in: .min ... .max, using: &random) }
    let nonce = ChaChaPoly.Nonce()
    var sealed = Sealed(
      log2N: Self.cost.log2N, blockSize: Self.cost.blockSize, parallelism: Self.cost.parallelism,
      salt: salt, nonce: Array(nonce), ciphertext: [], tag: [])
    let box = try ChaChaPoly.seal(
      key.seed, using: Self.wrappingKey(sealed, passphrase: passphrase), nonce: nonce,
      authenticating: Self.header(key.keyHash, sealed))
    sealed.ciphertext = Array(box.ciphertext)
    sealed.tag = Array(box.tag)
    keyHash = key.keyHash
    contents = .sealed(sealed)
  }

  /// The key itself. `passphrase` is used only by a sealed file.
  public func open(passphrase: [UInt8]?) throws(Refusal) -> IdentityKey {
    let seed: [UInt8]
    switch contents {
    case .plain(let bytes): seed = bytes
    case .sealed(let sealed):
      guard let passphrase, !passphrase.isEmpty else { throw .passphraseNeeded }
      do {
        let box = try ChaChaPoly.SealedBox(
          nonce: ChaChaPoly.Nonce(data: sealed.nonce), ciphertext: sealed.ciphertext, tag: sealed.tag)
        seed = Array(
          try ChaChaPoly.open(
            box, using: Self.wrappingKey(sealed, passphrase: passphrase),
            authenticating: Self.header(keyHash, sealed)))
      } catch { throw .wrongPassphrase }
    }
    guard let key = try? IdentityKey(seed: seed), key.keyHash == keyHash else { throw .damaged }
    return key
  }

  private static func wrappingKey(_ sealed: Sealed, passphrase: [UInt8]) throws -> SymmetricKey {
    try KDF.Scrypt.deriveKey(
      from: passphrase, salt: sealed.salt, outputByteCount: 32, rounds: 1 << Int(sealed.log2N),
      blockSize: Int(sealed.blockSize), parallelism: Int(sealed.parallelism))
  }
}

extension KeyFile {
  private static func header(_ keyHash: KeyHash, _ sealed: Sealed?) -> [UInt8] {
    var writer = ByteWriter(reserving: 80)
    writer.write(magic)
    writer.write(version)
    writer.write(UInt8(sealed == nil ? 0 : 1))
    writer.write(keyHash)
    if let sealed {
      writer.write(sealed.log2N)
      writer.write(sealed.blockSize)
      writer.write(sealed.parallelism)
      writer.write(sealed.salt)
      writer.write(sealed.nonce)
    }
    return writer.bytes
  }

  /// The bytes of the file. Secret unless sealed.
  public var encoded: [UInt8] {
    var bytes: [UInt8]
    switch contents {
    case .plain(let seed): bytes = Self.header(keyHash, nil) + seed
    case .sealed(let sealed): bytes = Self.header(keyHash, sealed) + sealed.ciphertext + sealed.tag
    }
    bytes += Array(SHA256.hash(data: bytes))
    return bytes
  }

  /// Reads ``encoded``.
  public init(_ bytes: [UInt8]) throws(Refusal) {
    guard bytes.starts(with: Self.magic), bytes.count > Self.magic.count else { throw .notAKeyFile }
    guard bytes[8] == Self.version else { throw .unknownVersion(bytes[8]) }
    guard bytes.count > 32, Array(SHA256.hash(data: bytes.dropLast(32))) == Array(bytes.suffix(32)) else {
      throw .damaged
    }
    do {
      self = try Self.parse(ByteReader(bytes.dropLast(32)))
    } catch { throw .damaged }
  }

  private static func parse(_ whole: ByteReader) throws(DecodingFailure) -> KeyFile {
    var reader = whole
    _ = try reader.slice(9)
    let kind = try reader.uint8()
    let keyHash = try reader.keyHash()
    let contents: Contents
    switch kind {
    case 0: contents = .plain(seed: try reader.bytes(32))
    case 1:
      let sealed = Sealed(
        log2N: try reader.uint8(), blockSize: try reader.uint8(), parallelism: try reader.uint8(),
        salt: try reader.bytes(16), nonce: try reader.bytes(12), ciphertext: try reader.bytes(32),
        tag: try reader.bytes(16))
      guard acceptedLog2N.contains(sealed.log2N), sealed.blockSize == 8, (1...4).contains(sealed.parallelism)
      else { throw .badValue }
      contents = .sealed(sealed)
    default: throw .badValue
    }
    try reader.end()
    return KeyFile(keyHash: keyHash, contents: contents)
  }

  private init(keyHash: KeyHash, contents: Contents) {
    self.keyHash = keyHash
    self.contents = contents
  }
}

extension KeyFile {
  private static let armourBegin = "-----BEGIN SHADOWMESH KEY-----"
  private static let armourEnd = "-----END SHADOWMESH KEY-----"

  /// The text that `shadowmesh key export` writes: the bytes of the file in base64 between two lines.
  public var armoured: String {
    let body = Data(encoded).base64EncodedString(options: [.lineLength64Characters, .endLineWithLineFeed])
    return "\(Self.armourBegin)\n\(body)\n\(Self.armourEnd)\n"
  }

  /// Reads ``armoured``; white space around it is allowed.
  public init(armoured text: String) throws(Refusal) {
    let lines = text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
    guard lines.count >= 3, lines.first == Self.armourBegin, lines.last == Self.armourEnd else {
      throw .notAKeyFile
    }
    guard let bytes = Data(base64Encoded: lines[1..<(lines.count - 1)].joined()) else { throw .damaged }
    try self.init(Array(bytes))
  }
}
