import MeshWire
import Testing

@testable import MeshCrypto

/// What the readers of a record's parts refuse. Bodies and private parts come from strangers before any
/// signature has been looked at.
@Suite struct RecordLimitTests {
  private let keyHash = KeyHash([UInt8](repeating: 3, count: 32))

  private func part(tags: Int = 1) throws -> [UInt8] {
    let keyHash = try #require(keyHash)
    let part = RecordPrivatePart(
      endpoints: [], admitted: [KeyHash](repeating: keyHash, count: min(tags, 256)),
      salt: [UInt8](repeating: 1, count: 16))
    var bytes = try #require(part).encoded
    for _ in min(tags, 256)..<tags { bytes += [UInt8](repeating: 0, count: 8) }
    bytes[18] = UInt8(tags >> 8)
    bytes[19] = UInt8(tags & 0xff)
    return bytes
  }

  private func refusal(ofPart bytes: [UInt8]) -> DecodingFailure? {
    do {
      _ = try RecordPrivatePart(decoding: bytes[...])
      return nil
    } catch { return error }
  }

  @Test func aPrivatePartIsOfVersionOneWithAtMost256TagsAndNothingBehind() throws {
    #expect(refusal(ofPart: try part()) == nil)
    #expect(refusal(ofPart: try part(tags: 256)) == nil)
    #expect(refusal(ofPart: try part(tags: 257)) == .tooLarge)
    var other = try part()
    other[0] = 2
    #expect(refusal(ofPart: other) == .unknownVersion)
    #expect(refusal(ofPart: try part() + [0]) != nil)
  }

  private func body(endpoints: Int = 0) throws -> [UInt8] {
    let endpoint = AnnouncedEndpoint(.configured, Endpoint(.v4(0xc000_0201), port: 8_443))
    return RecordBody(
      kind: .record, serviceType: .lightPublic, keyHash: try #require(keyHash), sequence: SequenceNumber(1),
      expiry: WallTime(secondsSinceEpoch: 1_800_000_000), region: try #require(Region("europe")),
      endpoints: [AnnouncedEndpoint](repeating: endpoint, count: endpoints)
    ).encoded
  }

  private func refusal(ofBody bytes: [UInt8]) -> DecodingFailure? {
    do {
      _ = try RecordBody(decoding: bytes[...])
      return nil
    } catch { return error }
  }

  @Test func aBodyHasOneToFourVersionsAndAtMostEightEndpoints() throws {
    #expect(refusal(ofBody: try body(endpoints: 8)) == nil)
    #expect(refusal(ofBody: try body(endpoints: 9)) == .tooLarge)
    // Five fields of 1, KeyHash 32, sequence 8, expiry 8, the region with its length 7, relay offer 4.
    let whole = try body()
    let start = 64
    #expect(whole[start] == 1 && whole[start + 1] == 1)
    let none = Array(whole[..<start]) + [0] + whole[(start + 2)...]
    #expect(refusal(ofBody: none) == .tooLarge)
    let four = Array(whole[..<start]) + [4, 1, 1, 1, 1] + whole[(start + 2)...]
    #expect(refusal(ofBody: four) == nil)
    let five = Array(whole[..<start]) + [5, 1, 1, 1, 1, 1] + whole[(start + 2)...]
    #expect(refusal(ofBody: five) == .tooLarge)
  }
}
