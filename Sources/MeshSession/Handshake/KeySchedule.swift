import MeshCrypto
import MeshWire

/// The transcript and keys of one handshake (SMH1.md §4).
struct KeySchedule {
  let th1: [UInt8]
  /// The handshake secret, 64 bytes.
  let secret: [UInt8]
  let responderKey: [UInt8]
  let initiatorKey: [UInt8]
  let responderFinishedKey: [UInt8]
  let initiatorFinishedKey: [UInt8]

  init(initiatorID: UInt64, responder: KeyHash, m1: [UInt8], m2a: [UInt8], shared: SharedSecret) {
    var head1: [UInt8] = []
    head1.append(bigEndian: initiatorID)
    head1 += responder.bytes
    th1 = Primitives.sha512(parts: [Self.label("th1"), head1, m1, m2a])
    secret = Primitives.hkdfExtractSHA512(salt: th1, inputKey: shared.bytes)
    responderKey = Self.expand(secret, "m2b key", 32)
    initiatorKey = Self.expand(secret, "m3 key", 32)
    responderFinishedKey = Self.expand(secret, "m2b finished", 64)
    initiatorFinishedKey = Self.expand(secret, "m3 finished", 64)
  }

  /// What the responder signs.
  func th2(responder: IdentityPublicKey) -> [UInt8] {
    Primitives.sha512(parts: [Self.label("th2"), th1, responder.keyHash.bytes, responder.bytes])
  }

  func th3(_ th2: [UInt8], signature: [UInt8]) -> [UInt8] {
    Primitives.sha512(parts: [Self.label("th3"), th2, signature])
  }

  func responderFinished(_ th3: [UInt8]) -> [UInt8] {
    Array(Primitives.hmacSHA512(key: responderFinishedKey, th3)[..<Layout.finishedSize])
  }

  /// What the initiator signs.
  func th4(
    _ th3: [UInt8], responderFinished: [UInt8], initiator: IdentityPublicKey, responder: KeyHash
  ) -> [UInt8] {
    Primitives.sha512(parts: [
      Self.label("th4"), th3, responderFinished, initiator.keyHash.bytes, initiator.bytes, responder.bytes,
    ])
  }

  func th5(_ th4: [UInt8], signature: [UInt8]) -> [UInt8] {
    Primitives.sha512(parts: [Self.label("th5"), th4, signature])
  }

  func initiatorFinished(_ th5: [UInt8]) -> [UInt8] {
    Array(Primitives.hmacSHA512(key: initiatorFinishedKey, th5)[..<Layout.finishedSize])
  }

  /// The secret that the first transport keys and all rekeying come from, 64 bytes.
  func root(_ th5: [UInt8]) -> [UInt8] { Primitives.hkdfExtractSHA512(salt: th5, inputKey: secret) }

  static func label(_ name: String) -> [UInt8] { Array("SMH/1 \(name)".utf8) }

  static func expand(_ key: [UInt8], _ name: String, _ count: Int) -> [UInt8] {
    Primitives.hkdfExpandSHA512(key: key, info: label(name), count: count)
  }
}

/// The two keys that one root gives (SMH1.md §4, §8).
struct TransportKeys {
  let initiatorToResponder: [UInt8]
  let responderToInitiator: [UInt8]

  init(root: [UInt8]) {
    initiatorToResponder = KeySchedule.expand(root, "data i2r", 32)
    responderToInitiator = KeySchedule.expand(root, "data r2i", 32)
  }

  /// The root after a rekey with these messages, type bytes and all.
  static func nextRoot(
    _ root: [UInt8], request: [UInt8], answer: [UInt8], shared: SharedSecret
  ) -> [UInt8] {
    Primitives.hkdfExtractSHA512(
      salt: Primitives.sha512(parts: [KeySchedule.label("rekey"), request, answer]),
      inputKey: root + shared.bytes)
  }
}

extension KeySchedule {
  /// The initiator id that an M1 body names itself by (SMH1.md §3).
  static func initiatorID(of m1: [UInt8]) -> UInt64 {
    Primitives.sha256(label("initiator id") + m1).bigEndian64(at: 0)
  }
}

/// The macs of datagrams in the clear (SMH1.md §5), 16 bytes each.
enum Macs {
  static func mac1Key(responder: KeyHash) -> [UInt8] {
    Primitives.sha256(KeySchedule.label("mac1") + responder.bytes)
  }

  static func mac1(key: [UInt8], header: ArraySlice<UInt8>, fragment: ArraySlice<UInt8>) -> [UInt8] {
    Array(Primitives.hmacSHA256(key: key, Array(header) + fragment)[..<Layout.macSize])
  }

  /// The key of the macs of M2a, Retry and Ack.
  static func clearKey(random: some Sequence<UInt8>) -> [UInt8] {
    Primitives.sha256(KeySchedule.label("mac2") + random)
  }

  static func clear(key: [UInt8], head: [UInt8], rest: [UInt8]) -> [UInt8] {
    Array(Primitives.hmacSHA256(key: key, head + rest)[..<Layout.macSize])
  }
}
