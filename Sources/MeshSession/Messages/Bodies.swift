import MeshCrypto
import MeshWire

/// M1's body: 1,664 bytes in the clear (SMH1.md §3).
struct M1Body {
  let offer: KeyExchangeOffer
  let random: [UInt8]
  /// Raw suite numbers, the initiator's preferred first: unknown ones are skipped, not refused.
  let suites: [UInt8]
  let wantsPublicKey: Bool
  let receiverIndex: UInt32

  func encode() -> [UInt8] {
    var writer = ByteWriter(reserving: Layout.m1BodySize)
    writer.write(offer.bytes)
    writer.write(random)
    writer.write([1, Layout.version, 0, 0, 0] as [UInt8])
    writer.write(UInt8(suites.count))
    writer.write(suites)
    writer.write(zeros: Layout.m1MaximumOffered - suites.count)
    writer.write(UInt8(wantsPublicKey ? 1 : 0))
    writer.write(receiverIndex)
    writer.write(zeros: 17)
    return writer.bytes
  }

  init(
    offer: KeyExchangeOffer, random: [UInt8], suites: [UInt8], wantsPublicKey: Bool, receiverIndex: UInt32
  ) {
    self.offer = offer
    self.random = random
    self.suites = suites
    self.wantsPublicKey = wantsPublicKey
    self.receiverIndex = receiverIndex
  }

  /// `.unknownVersion` when version 1 isn't offered.
  init(_ bytes: [UInt8]) throws(DecodingFailure) {
    var reader = ByteReader(bytes)
    guard let offer = KeyExchangeOffer(try reader.slice(KeyExchangeOffer.size)) else { throw .badValue }
    self.offer = offer
    random = try reader.bytes(Layout.randomSize)
    let versions = try Self.list(&reader)
    suites = try Self.list(&reader)
    let flags = try reader.uint8()
    guard flags <= 1 else { throw .badValue }
    wantsPublicKey = flags == 1
    receiverIndex = try reader.uint32()
    guard receiverIndex != 0 else { throw .badValue }
    try reader.zeros(17)
    try reader.end()
    guard versions.contains(Layout.version) else { throw .unknownVersion }
  }

  /// A count of 1 to 4 and as many bytes, the unused ones zero.
  private static func list(_ reader: inout ByteReader) throws(DecodingFailure) -> [UInt8] {
    let count = Int(try reader.uint8())
    guard (1...Layout.m1MaximumOffered).contains(count) else { throw .badValue }
    let list = try reader.bytes(count)
    try reader.zeros(Layout.m1MaximumOffered - count)
    return list
  }
}

/// M2a's body: 1,624 bytes in the clear.
struct M2aBody {
  let responder: UInt64
  let answer: KeyExchangeAnswer
  let suite: AEADSuite
  let receiverIndex: UInt32

  init(responder: UInt64, answer: KeyExchangeAnswer, suite: AEADSuite, receiverIndex: UInt32) {
    self.responder = responder
    self.answer = answer
    self.suite = suite
    self.receiverIndex = receiverIndex
  }

  func encode() -> [UInt8] {
    var writer = ByteWriter(reserving: Layout.m2aBodySize)
    writer.write(responder)
    writer.write(answer.bytes)
    writer.write(Layout.version)
    writer.write(suite.rawValue)
    writer.write(UInt8(0))
    writer.write(receiverIndex)
    writer.write(zeros: 9)
    return writer.bytes
  }

  init(_ bytes: [UInt8]) throws(DecodingFailure) {
    var reader = ByteReader(bytes)
    responder = try reader.uint64()
    guard let answer = KeyExchangeAnswer(try reader.slice(KeyExchangeAnswer.size)) else { throw .badValue }
    self.answer = answer
    guard try reader.uint8() == Layout.version else { throw .unknownVersion }
    guard let suite = AEADSuite(rawValue: try reader.uint8()), try reader.uint8() == 0 else {
      throw .badValue
    }
    self.suite = suite
    receiverIndex = try reader.uint32()
    guard receiverIndex != 0 else { throw .badValue }
    try reader.zeros(9)
    try reader.end()
  }
}

/// The body of M2b and of M3: who speaks, and the proof. 4,691 bytes, or 7,283 with the public key.
struct IdentityBody {
  let keyHash: KeyHash
  let signature: [UInt8]
  let finished: [UInt8]
  let publicKey: IdentityPublicKey?

  init(keyHash: KeyHash, signature: [UInt8], finished: [UInt8], publicKey: IdentityPublicKey?) {
    self.keyHash = keyHash
    self.signature = signature
    self.finished = finished
    self.publicKey = publicKey
  }

  func encode() -> [UInt8] { keyHash.bytes + signature + finished + (publicKey?.bytes ?? []) }

  init(_ bytes: [UInt8]) throws(DecodingFailure) {
    var reader = ByteReader(bytes)
    keyHash = try reader.keyHash()
    signature = try reader.bytes(Layout.signatureSize)
    finished = try reader.bytes(Layout.finishedSize)
    publicKey = reader.remaining == 0 ? nil : IdentityPublicKey(try reader.slice(Layout.publicKeySize))
    try reader.end()
  }
}
