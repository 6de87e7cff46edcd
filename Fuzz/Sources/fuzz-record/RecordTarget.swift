import Harness
import MeshCrypto
import MeshWire

private let now = WallTime(secondsSinceEpoch: 1_800_000_000)

/// A record bundle from a backbone or a peer. What verifies must come back byte for byte.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var input = FuzzInput(start, count)
  let bytes = input.rest()
  guard let unverified = try? UnverifiedPeerRecord(bundle: bytes) else { return 0 }
  _ = unverified.claimedKeyHash
  guard let record = try? unverified.verified(at: now) else { return 0 }
  precondition(record.bundle == bytes, "two encodings of one record")
  _ = record.admits(record.keyHash)
  precondition((try? UnverifiedPeerRecord(bundle: record.withoutPrivatePart.bundle).verified(at: now)) != nil)
  return 0
}

/// Writes the seed inputs when asked to.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_: UnsafeMutableRawPointer?, _: UnsafeMutableRawPointer?) -> CInt {
  SeedCorpus.writeIfAsked {
    let key = try IdentityKey(seed: [UInt8](repeating: 1, count: IdentityKey.seedSize))
    guard let region = Region("eu-west") else { return [] }
    let endpoints = [
      AnnouncedEndpoint(.configured, Endpoint(.v4(0xc000_0201), port: 8443)),
      AnnouncedEndpoint(.interface, Endpoint(.v6(0x2001_0db8 << 96 | 1), port: 443)),
    ]
    let relay = KeyExchangeOffer([UInt8](repeating: 4, count: KeyExchangeOffer.size)).map {
      RelayAnnouncement(
        onionKey: $0, week: 2_976, operatorName: OperatorName("example.org") ?? .unnamed, streamPort: 443,
        streamCertificate: [UInt8](repeating: 6, count: 32))
    }
    func body(
      _ kind: RecordBody.Kind, _ type: ServiceType, _ endpoints: [AnnouncedEndpoint],
      _ relay: RelayAnnouncement? = nil
    ) -> RecordBody {
      RecordBody(
        kind: kind, serviceType: type, keyHash: key.keyHash, sequence: SequenceNumber(5),
        expiry: now + .seconds(7_200), region: region, relayOffer: 50, endpoints: endpoints, relay: relay)
    }
    let reservation = RelayReservation(
      relay: key.keyHash, endpoint: endpoints[0].endpoint, id: [UInt8](repeating: 8, count: 16))
    let part = RecordPrivatePart(
      endpoints: endpoints, admitted: [key.keyHash], salt: [UInt8](repeating: 9, count: 16),
      reservations: [reservation].compactMap { $0 })
    return [
      (
        "public",
        try PeerRecord.sign(body(.record, .lightPublic, endpoints), privatePart: nil, with: key).bundle
      ),
      (
        "relay",
        try PeerRecord.sign(body(.record, .lightPublic, endpoints, relay), privatePart: nil, with: key).bundle
      ),
      ("private", try PeerRecord.sign(body(.record, .lightPrivate, []), privatePart: part, with: key).bundle),
      (
        "tombstone",
        try PeerRecord.sign(body(.tombstone, .lightPrivate, []), privatePart: nil, with: key).bundle
      ),
    ]
  }
  return 0
}
