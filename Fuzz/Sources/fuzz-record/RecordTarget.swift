import Harness
import MeshWire

@testable import MeshCrypto

private let now = WallTime(secondsSinceEpoch: 1_800_000_000)

/// By the first byte: 0 a record bundle from a backbone or a peer, else the private part of one. What
/// verifies, or is read, must come back byte for byte.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var input = FuzzInput(start, count)
  let isPrivatePart = input.byte() != 0
  let bytes = input.rest()
  if isPrivatePart {
    readPrivatePart(bytes)
    return 0
  }
  guard let unverified = try? UnverifiedPeerRecord(bundle: bytes) else { return 0 }
  _ = unverified.claimedKeyHash
  guard let record = try? unverified.verified(at: now) else { return 0 }
  precondition(record.bundle == bytes, "two encodings of one record")
  _ = record.admits(record.keyHash)
  precondition((try? UnverifiedPeerRecord(bundle: record.withoutPrivatePart.bundle).verified(at: now)) != nil)
  return 0
}

/// Its hash is in the signed body, so that no change of a bundle gets here; whoever signs says what is in it.
private func readPrivatePart(_ bytes: [UInt8]) {
  guard let part = try? RecordPrivatePart(decoding: bytes[...]) else { return }
  precondition(part.encoded == bytes, "two encodings of one private part")
  precondition(part.endpoints.count <= RecordBody.endpointLimit)
  precondition(part.reservations.count <= RecordPrivatePart.reservationLimit)
  if let first = part.reservations.first { _ = part.admits(first.relay) }
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
        [0]
          + (try PeerRecord.sign(body(.record, .lightPublic, endpoints), privatePart: nil, with: key).bundle)
      ),
      (
        "relay",
        [0]
          + (try PeerRecord.sign(body(.record, .lightPublic, endpoints, relay), privatePart: nil, with: key)
            .bundle)
      ),
      (
        "private",
        [0] + (try PeerRecord.sign(body(.record, .lightPrivate, []), privatePart: part, with: key).bundle)
      ),
      ("private-part", [1] + (part?.encoded ?? [])),
      (
        "tombstone",
        [0] + (try PeerRecord.sign(body(.tombstone, .lightPrivate, []), privatePart: nil, with: key).bundle)
      ),
    ]
  }
  return 0
}
