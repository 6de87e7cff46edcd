import MeshCrypto
import MeshWire
import RepeatableRandom
import Testing

@Suite struct PeerRecordTests {
  private let now = WallTime(secondsSinceEpoch: 1_800_000_000)

  private func body(
    _ key: IdentityKey, kind: RecordBody.Kind = .record, sequence: UInt64 = 5, life: Int64 = 7_200,
    serviceType: ServiceType = .lightPublic, endpoints: [AnnouncedEndpoint] = []
  ) throws -> RecordBody {
    RecordBody(
      kind: kind, serviceType: serviceType, keyHash: key.keyHash, sequence: SequenceNumber(sequence),
      expiry: now + .seconds(life), region: try #require(Region("eu-west")), endpoints: endpoints)
  }

  private func announced(_ text: String) throws -> AnnouncedEndpoint {
    AnnouncedEndpoint(.configured, try #require(Endpoint(text)))
  }

  private func privatePart(_ admitted: [KeyHash], salt: UInt8 = 1) throws -> RecordPrivatePart {
    try #require(
      RecordPrivatePart(
        endpoints: [announced("192.0.2.7:8443")], admitted: admitted,
        salt: [UInt8](repeating: salt, count: 16)))
  }

  private func refusal(_ bundle: [UInt8], at moment: WallTime? = nil) -> RecordRefusal? {
    do {
      _ = try UnverifiedPeerRecord(bundle: bundle).verified(at: moment ?? now)
      return nil
    } catch {
      return error
    }
  }

  /// The parts of a bundle, put together again with changes.
  private struct Parts {
    var body: [UInt8]
    var key: [UInt8]
    var signature: [UInt8]
    var privatePart: [UInt8]

    init(_ bundle: [UInt8]) throws {
      var reader = ByteReader(bundle)
      body = try reader.bytes(Int(try reader.uint16()))
      key = try reader.bytes(IdentityPublicKey.size)
      signature = try reader.bytes(IdentityPublicKey.signatureSize)
      privatePart = try reader.bytes(Int(try reader.uint16()))
      try reader.end()
    }

    var bundle: [UInt8] {
      var writer = ByteWriter()
      writer.write(UInt16(body.count))
      writer.write(body + key + signature)
      writer.write(UInt16(privatePart.count))
      writer.write(privatePart)
      return writer.bytes
    }
  }

  @Test func aSignedRecordVerifiesAndComesBackWhole() throws {
    let key = try identity(1)
    var body = try body(
      key, endpoints: [announced("192.0.2.1:8443"), announced("[2001:db8::1]:443")])
    body.relayOffer = 50
    body.mapping = .endpointIndependent
    body.filtering = .addressAndPortDependent
    let record = try PeerRecord.sign(body, privatePart: nil, with: key)
    let read = try UnverifiedPeerRecord(bundle: record.bundle).verified(at: now)
    #expect(read == record)
    #expect(read.bundle == record.bundle)
    #expect(read.body == body)
    #expect(read.keyHash == key.keyHash)
    #expect(read.endpoints.map(\.description) == ["192.0.2.1:8443", "[2001:db8::1]:443"])
    #expect(!read.isTombstone)
    #expect(record.bundle.count <= UnverifiedPeerRecord.sizeLimit)
  }

  // MARK: Refusals

  /// Without the signature check anybody announces anybody's endpoints.
  @Test func everyTamperedPartIsRefused() throws {
    let key = try identity(1)
    let record = try PeerRecord.sign(
      body(key, serviceType: .lightPrivate), privatePart: privatePart([]), with: key)
    let good = try Parts(record.bundle)
    #expect(refusal(good.bundle) == nil)
    var sequence = good
    sequence.body[44] ^= 1
    #expect(refusal(sequence.bundle) == .badSignature)
    var signature = good
    signature.signature[100] ^= 1
    #expect(refusal(signature.bundle) == .badSignature)
    var foreign = good
    foreign.key = try identity(2).publicKey.bytes
    #expect(refusal(foreign.bundle) == .wrongKeyHash)
    var claimed = good
    claimed.body[5] ^= 1
    #expect(refusal(claimed.bundle) == .wrongKeyHash)
    var hidden = good
    hidden.privatePart[20] ^= 1
    #expect(refusal(hidden.bundle) == .wrongPrivatePart)
  }

  @Test(arguments: SignatureContext.allCases)
  func aSignatureMadeForAnotherUseIsNoRecord(context: SignatureContext) throws {
    let key = try identity(1)
    let record = try PeerRecord.sign(body(key), privatePart: nil, with: key)
    var parts = try Parts(record.bundle)
    parts.signature = try key.sign(parts.body, context: context)
    #expect(refusal(parts.bundle) == (context == .peerRecord ? nil : .badSignature))
  }

  /// Without the check an old record brings back an address that its owner has left.
  @Test func expiredAndTooLongLivedRecordsAreRefused() throws {
    let key = try identity(1)
    let bundle = try PeerRecord.sign(body(key), privatePart: nil, with: key).bundle
    #expect(refusal(bundle, at: now + .seconds(7_199)) == nil)
    #expect(refusal(bundle, at: now + .seconds(7_200)) == .expired)
    // The owner's clock may be ten minutes ahead of ours.
    #expect(refusal(bundle, at: now + .seconds(-600)) == nil)
    #expect(refusal(bundle, at: now + .seconds(-601)) == .expiresTooLate)
    let endless = try PeerRecord.sign(body(key, life: .max), privatePart: nil, with: key).bundle
    #expect(refusal(endless) == .expiresTooLate)
  }

  @Test func aNewerRecordSupersedesAndAnOlderIsRefused() throws {
    let key = try identity(1)
    func record(_ sequence: UInt64, life: Int64 = 100, kind: RecordBody.Kind = .record) throws -> PeerRecord {
      try PeerRecord.sign(
        body(key, kind: kind, sequence: sequence, life: life), privatePart: nil, with: key)
    }
    func refusal(_ new: PeerRecord, over known: PeerRecord) -> RecordRefusal? {
      do {
        try new.checkSupersedes(known)
        return nil
      } catch { return error }
    }
    let five = try record(5)
    #expect(refusal(try record(6), over: five) == nil)
    #expect(refusal(try record(4), over: five) == .lowerSequence)
    #expect(refusal(five, over: five) == nil)
    // Signed again with the same content: another signature, the same record.
    #expect(refusal(try record(5), over: five) == nil)
    #expect(refusal(try record(5, life: 101), over: five) == .conflictingContent)
    // A removal counts as newer only with a higher sequence, and can't be undone by an older record.
    let tombstone = try record(6, kind: .tombstone)
    #expect(tombstone.isTombstone)
    #expect(refusal(tombstone, over: five) == nil)
    #expect(refusal(five, over: tombstone) == .lowerSequence)
    #expect(refusal(try record(6), over: tombstone) == .conflictingContent)
    let other = try identity(2)
    let foreign = try PeerRecord.sign(body(other, sequence: 9), privatePart: nil, with: other)
    #expect(refusal(foreign, over: five) == .otherOwner)
  }

  // MARK: The private part

  @Test func aPrivateNodesEndpointsAreInItsPrivatePartOnly() throws {
    let owner = try identity(1)
    let friend = try identity(2).keyHash
    let stranger = try identity(3).keyHash
    let record = try PeerRecord.sign(
      body(owner, serviceType: .lightPrivate), privatePart: privatePart([friend]), with: owner)
    #expect(record.admits(friend))
    #expect(record.admits(owner.keyHash))
    #expect(!record.admits(stranger))
    let whole = try UnverifiedPeerRecord(bundle: record.bundle).verified(at: now)
    #expect(whole.endpoints.map(\.description) == ["192.0.2.7:8443"])
    let withheld = try UnverifiedPeerRecord(bundle: record.withoutPrivatePart.bundle).verified(at: now)
    #expect(withheld.endpoints == [])
    #expect(withheld.privatePart == nil)
    let address = try #require(Endpoint("192.0.2.7:8443")).address.bytes
    #expect(!contains(record.withoutPrivatePart.bundle, address))
    // Nor does the list of the admitted name anyone.
    #expect(!contains(record.bundle, friend.bytes))
    #expect(!contains(record.bundle, Array(friend.bytes.prefix(8))))
  }

  @Test func theSameListUnderAnotherSaltLooksDifferent() throws {
    let friend = try identity(2).keyHash
    let owner = try identity(1)
    let one = try Parts(
      PeerRecord.sign(body(owner), privatePart: privatePart([friend], salt: 1), with: owner).bundle)
    let two = try Parts(
      PeerRecord.sign(body(owner), privatePart: privatePart([friend], salt: 2), with: owner).bundle)
    #expect(one.privatePart.suffix(8) != two.privatePart.suffix(8))
  }

  /// Without the hash in the signed body anybody attaches endpoints to a private node's record.
  @Test func onlyThePrivatePartThatWasSignedIsAccepted() throws {
    let owner = try identity(1)
    let mine = try Parts(
      PeerRecord.sign(body(owner), privatePart: privatePart([], salt: 1), with: owner).bundle)
    let other = try Parts(
      PeerRecord.sign(body(owner), privatePart: privatePart([], salt: 2), with: owner).bundle)
    var swapped = mine
    swapped.privatePart = other.privatePart
    #expect(refusal(swapped.bundle) == .wrongPrivatePart)
    var attached = try Parts(PeerRecord.sign(body(owner), privatePart: nil, with: owner).bundle)
    attached.privatePart = other.privatePart
    #expect(refusal(attached.bundle) == .wrongPrivatePart)
    var cut = mine
    cut.privatePart.removeLast()
    #expect(refusal(cut.bundle) == .wrongPrivatePart)
  }

  // MARK: Sizes

  @Test func theLargestRecordFitsItsLimit() throws {
    let owner = try identity(1)
    let endpoints = try (1...8).map { try announced("[2001:db8::\($0)]:1") }
    var body = try body(owner, endpoints: endpoints)
    body.region = try #require(Region(String(repeating: "r", count: 32)))
    body.versions = [4, 3, 2, 1]
    body.suites = [.aes256GCM, .chaCha20Poly1305, .aes256GCM, .aes256GCM]
    let admitted = try (0..<256).map { try #require(KeyHash(Primitives.sha256([UInt8($0)]))) }
    let part = try #require(
      RecordPrivatePart(
        endpoints: endpoints, admitted: admitted, salt: [UInt8](repeating: 1, count: 16)))
    let record = try PeerRecord.sign(body, privatePart: part, with: owner)
    #expect(record.bundle.count <= UnverifiedPeerRecord.sizeLimit)
    #expect(refusal(record.bundle) == nil)
    #expect(admitted.allSatisfy { record.admits($0) })
    let over = admitted + [owner.keyHash]
    #expect(RecordPrivatePart(endpoints: [], admitted: over, salt: [UInt8](repeating: 1, count: 16)) == nil)
    #expect(RecordPrivatePart(endpoints: [], admitted: [], salt: [1]) == nil)
    #expect(
      RecordPrivatePart(
        endpoints: endpoints + endpoints, admitted: [], salt: [UInt8](repeating: 1, count: 16)) == nil)
  }

  @Test func malformedBundlesAreRefusedWithTheReason() throws {
    let owner = try identity(1)
    let good = try PeerRecord.sign(
      body(owner, endpoints: [announced("192.0.2.1:1")]), privatePart: privatePart([owner.keyHash]),
      with: owner
    ).bundle
    for count in stride(from: 0, to: good.count, by: 97) {
      #expect(refusal(Array(good.prefix(count))) == .malformed(.truncated))
    }
    #expect(refusal(good + [0]) == .malformed(.trailingBytes))
    let tooLarge = [UInt8](repeating: 0, count: UnverifiedPeerRecord.sizeLimit + 1)
    #expect(refusal(tooLarge) == .malformed(.tooLarge))
    func changed(_ position: Int, _ value: UInt8) throws -> RecordRefusal? {
      var parts = try Parts(good)
      parts.body[position] = value
      return refusal(parts.bundle)
    }
    #expect(try changed(0, 2) == .malformed(.unknownVersion))
    for position in 1...4 { #expect(try changed(position, 99) == .malformed(.badValue)) }
    // The region's first letter, and its length.
    #expect(try changed(54, UInt8(ascii: "A")) == .malformed(.badValue))
    #expect(try changed(53, 0) == .malformed(.badValue))
  }

  /// Changed bytes are refused with a reason, never a trap, and never pass.
  @Test func randomDamageIsAlwaysRefused() throws {
    var random = SplitMix64(seed: 3)
    let owner = try identity(1)
    let good = try PeerRecord.sign(
      body(owner, endpoints: [announced("192.0.2.1:1")]), privatePart: privatePart([owner.keyHash]),
      with: owner
    ).bundle
    for round in 0..<400 {
      var bytes = good
      let limit = round.isMultiple(of: 2) ? 130 : bytes.count
      let position = Int.random(in: 0..<limit, using: &random)
      bytes[position] ^= UInt8.random(in: 1...255, using: &random)
      #expect(refusal(bytes) != nil, "byte \(position)")
    }
  }

  private func contains(_ bytes: [UInt8], _ part: [UInt8]) -> Bool {
    bytes.indices.contains { bytes[$0...].starts(with: part) }
  }
}
