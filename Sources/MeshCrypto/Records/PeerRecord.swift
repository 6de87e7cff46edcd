public import MeshWire

/// Why a record from outside is refused. The text is for the person who runs the node.
public enum RecordRefusal: Error, Hashable, Sendable {
  case malformed(DecodingFailure)
  /// The key that came with it doesn't hash to the KeyHash that it names.
  case wrongKeyHash
  case badSignature
  case expired
  /// Its expiry is more than two hours (and ten minutes of clock error) away.
  case expiresTooLate
  /// The private part that came with it isn't the one that was signed.
  case wrongPrivatePart
  /// A newer one from the same owner is known.
  case lowerSequence
  /// Another one with the same sequence number and other content is known: its owner has signed twice, or two
  /// nodes share a key.
  case conflictingContent
  /// It belongs to another key than the one known under this PeerID.
  case otherOwner
}

/// A record as it came from outside: well-formed, and nothing more. Becomes a ``PeerRecord`` only through
/// ``verified(at:)``.
public struct UnverifiedPeerRecord: Sendable, Hashable {
  /// Largest bundle (public part, key, signature, private part), in bytes.
  public static let sizeLimit =
    2 + RecordBody.sizeLimit + IdentityPublicKey.size + IdentityPublicKey.signatureSize + 2
    + RecordPrivatePart.sizeLimit

  let body: RecordBody
  let bodyBytes: [UInt8]
  let publicKey: IdentityPublicKey
  let signature: [UInt8]
  let privateBytes: [UInt8]?

  /// Reads a bundle: body length 2, body, public key 2,592, signature 4,627, private length 2 (0: withheld or
  /// none), private part.
  public init(bundle: some Collection<UInt8>) throws(RecordRefusal) {
    guard bundle.count <= Self.sizeLimit else { throw .malformed(.tooLarge) }
    do throws(DecodingFailure) {
      var reader = ByteReader(Array(bundle))
      let bodyBytes = try reader.bytes(Int(try reader.uint16()))
      body = try RecordBody(decoding: bodyBytes[...])
      self.bodyBytes = bodyBytes
      guard let publicKey = IdentityPublicKey(try reader.slice(IdentityPublicKey.size)) else {
        throw .badValue
      }
      self.publicKey = publicKey
      signature = try reader.bytes(IdentityPublicKey.signatureSize)
      let privateSize = Int(try reader.uint16())
      privateBytes = privateSize == 0 ? nil : try reader.bytes(privateSize)
      try reader.end()
    } catch { throw .malformed(error) }
  }

  /// The KeyHash that it claims, to look something up by before the costly check.
  public var claimedKeyHash: KeyHash { body.keyHash }
  /// The sequence number that it claims.
  public var claimedSequence: SequenceNumber { body.sequence }
  /// SHA-256 of the body, to tell whether it is the one that is known.
  public var bodyDigest: [UInt8] { Primitives.sha256(bodyBytes) }
  /// Whether a private part came with it; what is in it isn't checked yet.
  public var hasPrivatePart: Bool { privateBytes != nil }

  /// The time nearest to `wall` at which this record could have been accepted.
  public func plausibleTime(near wall: WallTime) -> WallTime {
    let earliest = body.expiry + (.zero - PeerRecord.longestLife)
    let latest = body.expiry + .seconds(-1)
    return min(max(wall, earliest), latest)
  }

  /// Checks everything that needs no other record: key, signature, times, private part. About 0.3 ms.
  public func verified(at now: WallTime) throws(RecordRefusal) -> PeerRecord {
    try verified(at: now) { publicKey, signature, message in
      publicKey.verifies(signature, of: message, context: .peerRecord)
    }
  }

  /// The same with another judge of the signature: the simulator's, whose signatures cost nothing.
  package func verified(
    at now: WallTime,
    signatureHolds: (_ by: IdentityPublicKey, _ signature: [UInt8], _ message: [UInt8]) -> Bool
  ) throws(RecordRefusal) -> PeerRecord {
    guard publicKey.keyHash == body.keyHash else { throw .wrongKeyHash }
    guard body.expiry > now else { throw .expired }
    guard body.expiry - now <= PeerRecord.longestLife + PeerRecord.clockTolerance else {
      throw .expiresTooLate
    }
    var privatePart: RecordPrivatePart?
    if let privateBytes {
      guard Primitives.sha256(privateBytes) == body.privatePartHash else { throw .wrongPrivatePart }
      do { privatePart = try RecordPrivatePart(decoding: privateBytes[...]) } catch {
        throw .malformed(error)
      }
    }
    guard signatureHolds(publicKey, signature, bodyBytes) else { throw .badSignature }
    return PeerRecord(body: body, publicKey: publicKey, signature: signature, privatePart: privatePart)
  }
}

/// A record whose owner's signature has been checked, or that we signed ourselves.
public struct PeerRecord: Sendable, Hashable {
  /// A record is good for two hours at most; owners sign anew at half of that.
  public static let longestLife: Duration = .seconds(7_200)
  /// How far the owner's clock may be ahead of ours.
  public static let clockTolerance: Duration = .seconds(600)

  public let body: RecordBody
  public let publicKey: IdentityPublicKey
  let signature: [UInt8]
  /// `nil` when there is none, and when it was withheld from us.
  public let privatePart: RecordPrivatePart?

  init(
    body: RecordBody, publicKey: IdentityPublicKey, signature: [UInt8], privatePart: RecordPrivatePart?
  ) {
    self.body = body
    self.publicKey = publicKey
    self.signature = signature
    self.privatePart = privatePart
  }

  /// Signs a record of our own; about 1 ms. The body's KeyHash must be the key's.
  public static func sign(
    _ body: RecordBody, privatePart: RecordPrivatePart?, with key: IdentityKey
  ) throws(KeyFailure) -> PeerRecord {
    try sign(body, privatePart: privatePart, by: key.publicKey) { message throws(KeyFailure) in
      try key.sign(message, context: .peerRecord)
    }
  }

  /// The same with another signer: the simulator's.
  package static func sign(
    _ body: RecordBody, privatePart: RecordPrivatePart?, by publicKey: IdentityPublicKey,
    signature: (_ message: [UInt8]) throws(KeyFailure) -> [UInt8]
  ) throws(KeyFailure) -> PeerRecord {
    precondition(body.keyHash == publicKey.keyHash, "a node signs records of its own only")
    precondition(body.endpoints.count <= RecordBody.endpointLimit, "at most 8 endpoints")
    precondition(body.relay == nil || body.mayAnnounceRelay, "only who offers to relay announces how")
    var body = body
    body.privatePartHash = privatePart.map { Primitives.sha256($0.encoded) }
    return PeerRecord(
      body: body, publicKey: publicKey, signature: try signature(body.encoded), privatePart: privatePart)
  }

  public var keyHash: KeyHash { body.keyHash }
  public var peerID: PeerID { body.keyHash.peerID }
  public var isTombstone: Bool { body.kind == .tombstone }

  /// Every endpoint that we may know, the public ones first.
  public var endpoints: [Endpoint] {
    (body.endpoints + (privatePart?.endpoints ?? [])).map(\.endpoint)
  }

  /// Where its owner is reached through relays, as far as we may know.
  public var reservations: [RelayReservation] { privatePart?.reservations ?? [] }

  /// Whether the whole of it may go to this node: it has no private part, or the owner admitted the node, or
  /// owns it.
  public func admits(_ keyHash: KeyHash) -> Bool {
    keyHash == self.keyHash || (privatePart?.admits(keyHash) ?? true)
  }

  /// The same record for anyone: still verifies, but says nothing of where a private node is.
  public var withoutPrivatePart: PeerRecord {
    PeerRecord(body: body, publicKey: publicKey, signature: signature, privatePart: nil)
  }

  /// The bundle of ``UnverifiedPeerRecord/init(bundle:)``, with the private part if we hold it.
  public var bundle: [UInt8] {
    let bodyBytes = body.encoded
    let privateBytes = privatePart?.encoded ?? []
    var writer = ByteWriter(reserving: UnverifiedPeerRecord.sizeLimit)
    writer.write(UInt16(bodyBytes.count))
    writer.write(bodyBytes)
    writer.write(publicKey.bytes)
    writer.write(signature)
    writer.write(UInt16(privateBytes.count))
    writer.write(privateBytes)
    return writer.bytes
  }

  /// Decides between this new record and the one known. Returns normally when this one takes its place, or is
  /// the same one again (perhaps with the private part that the known one lacks).
  public func checkSupersedes(_ known: PeerRecord) throws(RecordRefusal) {
    guard keyHash == known.keyHash else { throw .otherOwner }
    if body.sequence < known.body.sequence { throw .lowerSequence }
    if body.sequence == known.body.sequence, body != known.body { throw .conflictingContent }
  }
}

extension RecordRefusal: CustomStringConvertible {
  public var description: String {
    switch self {
    case .malformed(let failure): "the record can't be read (\(failure))"
    case .wrongKeyHash: "the record's key doesn't hash to the KeyHash that it names"
    case .badSignature: "the record's signature doesn't verify"
    case .expired: "the record has expired; if it is new, check both clocks"
    case .expiresTooLate: "the record expires more than two hours from now: check both clocks"
    case .wrongPrivatePart: "the private part isn't the one that the record's owner signed"
    case .lowerSequence: "a newer record of the same owner is known"
    case .conflictingContent:
      "another record with the same sequence number is known; is one key in use twice?"
    case .otherOwner: "another key is known under this PeerID"
    }
  }
}
