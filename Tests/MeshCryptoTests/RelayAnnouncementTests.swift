import MeshWire
import Testing

@testable import MeshCrypto

/// What relays say of themselves in public, and private nodes of where they are reached.
@Suite struct RelayAnnouncementTests {
  private let now = WallTime(secondsSinceEpoch: 1_800_000_000)
  private let certificate = [UInt8](repeating: 6, count: 32)

  private func announcement(_ name: String = "example.org") throws -> RelayAnnouncement {
    RelayAnnouncement(
      onionKey: try #require(KeyExchangeOffer([UInt8](repeating: 4, count: 1_600))), week: 2_976,
      operatorName: try #require(OperatorName(name)), streamPort: 443, streamCertificate: certificate)
  }

  private func endpoints(_ count: Int) -> [AnnouncedEndpoint] {
    (0..<count).map { AnnouncedEndpoint(.mapped, Endpoint(.v4(0xc000_0200 + UInt32($0)), port: 8_443)) }
  }

  private func body(
    _ key: KeyHash, kind: RecordBody.Kind = .record, type: ServiceType = .lightPublic, offer: UInt32 = 50,
    relay: RelayAnnouncement?
  ) throws -> RecordBody {
    RecordBody(
      kind: kind, serviceType: type, keyHash: key, sequence: SequenceNumber(1), expiry: now + .seconds(60),
      region: try #require(Region(String(repeating: "r", count: 32))), relayOffer: offer,
      versions: [4, 3, 2, 1], suites: [.aes256GCM, .aes256GCM, .aes256GCM, .aes256GCM],
      endpoints: endpoints(8), relay: relay)
  }

  private func part(
    reservations: [RelayReservation], admitted: Int = 256
  ) throws -> RecordPrivatePart? {
    let key = try #require(KeyHash([UInt8](repeating: 1, count: 32)))
    return RecordPrivatePart(
      endpoints: endpoints(8), admitted: [KeyHash](repeating: key, count: admitted),
      salt: [UInt8](repeating: 1, count: 16), reservations: reservations)
  }

  private func reservations(_ count: Int) throws -> [RelayReservation] {
    let key = try #require(KeyHash([UInt8](repeating: 7, count: 32)))
    return try (0..<count).map {
      try #require(
        RelayReservation(
          relay: key, endpoint: Endpoint(.v4(0xc633_6401), port: 443),
          id: [UInt8](repeating: UInt8($0), count: 16)))
    }
  }

  @Test func theLargestRecordFitsItsLimitsAndComesBackWhole() throws {
    let owner = try IdentityKey()
    let relay = try announcement(String(repeating: "o", count: 32))
    let part = try #require(try part(reservations: reservations(4)))
    let body = try body(owner.keyHash, relay: relay)
    let record = try PeerRecord.sign(body, privatePart: part, with: owner)
    #expect(record.body.encoded.count <= RecordBody.sizeLimit)
    #expect(part.encoded.count <= RecordPrivatePart.sizeLimit)
    #expect(record.bundle.count <= UnverifiedPeerRecord.sizeLimit)
    // The control message that carries it, in twelve pieces of a path that carries 1,232.
    #expect(UnverifiedPeerRecord.sizeLimit + 6 <= 12 * 1_193)
    let read = try UnverifiedPeerRecord(bundle: record.bundle).verified(at: now)
    #expect(read == record)
    #expect(read.body.relay == relay)
    #expect(read.reservations == (try reservations(4)))
    #expect(record.withoutPrivatePart.reservations.isEmpty)
  }

  @Test func fiveReservationsAreRefused() throws {
    #expect(try part(reservations: reservations(5)) == nil)
    var bytes = try #require(try part(reservations: reservations(4), admitted: 0)).encoded
    let count = bytes.count - 4 * 67 - 1
    #expect(bytes[count] == 4)
    bytes[count] = 5
    #expect(throws: DecodingFailure.tooLarge) {
      try RecordPrivatePart(decoding: (bytes + [UInt8](repeating: 0, count: 67))[...])
    }
    bytes[count] = 4
    bytes.removeLast()
    #expect(throws: DecodingFailure.truncated) { try RecordPrivatePart(decoding: bytes[...]) }
  }

  /// A private node that announced an onion key would say in public that it is there to be used.
  @Test func onlyAPublicRecordWithAnOfferHasAnAnnouncement() throws {
    let key = try IdentityKey().keyHash
    func refusal(_ body: RecordBody) -> DecodingFailure? {
      do {
        _ = try RecordBody(decoding: body.encoded[...])
        return nil
      } catch { return error }
    }
    let relay = try announcement()
    #expect(refusal(try body(key, relay: relay)) == nil)
    #expect(refusal(try body(key, offer: 0, relay: relay)) == .badValue)
    #expect(refusal(try body(key, type: .lightPrivate, relay: relay)) == .badValue)
    #expect(refusal(try body(key, type: .backbone, relay: relay)) == .badValue)
    #expect(refusal(try body(key, kind: .tombstone, relay: relay)) == .badValue)
  }

  @Test func anOperatorsNameIsShortAndPlain() throws {
    #expect(OperatorName("")?.name.isEmpty == true)
    #expect(OperatorName("a-b_c.9") != nil)
    for name in ["A", "a b", "a\u{0}", "ä", String(repeating: "o", count: 33)] {
      #expect(OperatorName(name) == nil)
    }
    let key = try IdentityKey().keyHash
    var bytes = try body(key, relay: announcement("o")).encoded
    let name = bytes.count - 35
    #expect(bytes[name] == UInt8(ascii: "o"))
    bytes[name] = UInt8(ascii: "O")
    #expect(throws: DecodingFailure.badValue) { try RecordBody(decoding: bytes[...]) }
    bytes[name - 1] = 33
    #expect(throws: DecodingFailure.tooLarge) { try RecordBody(decoding: bytes[...]) }
  }

  @Test func noPortAndNoCertificateAreZeros() throws {
    let key = try IdentityKey().keyHash
    var relay = try announcement()
    relay.streamPort = nil
    relay.streamCertificate = nil
    let bytes = try body(key, relay: relay).encoded
    #expect(bytes.suffix(34).allSatisfy { $0 == 0 })
    #expect(try RecordBody(decoding: bytes[...]).relay == relay)
    #expect(RelayAnnouncement.week(of: WallTime(secondsSinceEpoch: 604_800 * 3 + 1)) == 3)
  }
}
