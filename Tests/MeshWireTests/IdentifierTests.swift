import MeshWire
import RepeatableRandom
import Testing

@Suite struct IdentifierTests {
  @Test func aKeyHashKeepsItsBytesAndDigits() throws {
    var random = SplitMix64(seed: 1)
    for _ in 0..<200 {
      let bytes = random.bytes(KeyHash.size)
      let hash = try #require(KeyHash(bytes))
      #expect(hash.bytes == bytes)
      #expect(hash.description == bytes.hex)
      #expect(KeyHash(hex: hash.description) == hash)
      #expect(KeyHash(hex: hash.description.uppercased()) == hash)
      #expect(hash.peerID.bytes == Array(bytes.prefix(20)))
      #expect(PeerID(hex: hash.peerID.description) == hash.peerID)
    }
  }

  @Test(arguments: [0, 1, 19, 21, 31, 33, 64]) func otherLengthsAreNoIdentifiers(count: Int) {
    let bytes = [UInt8](repeating: 1, count: count)
    #expect(KeyHash(bytes) == nil)
    #expect(PeerID(bytes) == nil)
    #expect(KeyHash(hex: bytes.hex) == nil)
    #expect(PeerID(hex: bytes.hex) == nil)
  }

  @Test(arguments: [
    "g" + String(repeating: "0", count: 39), String(repeating: "0", count: 39), " 0", "0x00", "é",
  ])
  func otherDigitsAreNoIdentifiers(text: String) {
    #expect(PeerID(hex: text) == nil)
    #expect(KeyHash(hex: text) == nil)
    if text.count.isMultiple(of: 2) { #expect([UInt8](hex: text) == nil) }
  }

  @Test func theOrderIsThatOfTheBytes() throws {
    var random = SplitMix64(seed: 2)
    for round in 0..<400 {
      var a = random.bytes(KeyHash.size)
      var b = a
      // A difference in one byte only, so that each word decides in some round.
      b[round % 32] = random.bytes(1)[0]
      if round.isMultiple(of: 2) { swap(&a, &b) }
      let x = try #require(KeyHash(a))
      let y = try #require(KeyHash(b))
      #expect((x < y) == a.lexicographicallyPrecedes(b))
      #expect((x == y) == (a == b))
      #expect((x.peerID < y.peerID) == a.prefix(20).lexicographicallyPrecedes(b.prefix(20)))
      #expect((x.peerID == y.peerID) == (a.prefix(20) == b.prefix(20)))
      if x == y { #expect(x.hashValue == y.hashValue) }
    }
  }

  @Test func distanceIsAMetricAndTheBucketIsItsHighestBit() throws {
    var random = SplitMix64(seed: 3)
    for index in 0..<PeerID.bitWidth {
      let own = random.bytes(PeerID.size)
      var other = own
      let flipped = PeerID.bitWidth - 1 - index
      other[flipped / 8] ^= 0x80 >> UInt8(flipped % 8)
      for bit in (flipped + 1)..<max(flipped + 1, PeerID.bitWidth) where Bool.random(using: &random) {
        other[bit / 8] ^= 0x80 >> UInt8(bit % 8)
      }
      let a = try #require(PeerID(own))
      let b = try #require(PeerID(other))
      let c = try #require(PeerID(random.bytes(PeerID.size)))
      #expect(a.distance(to: b).bucketIndex == index)
      #expect(a.distance(to: b) == b.distance(to: a))
      #expect(a.distance(to: a).bucketIndex == nil)
      // Unidirectional (Kademlia paper §2.1): no two are equally far from a third.
      #expect((a.distance(to: c) == b.distance(to: c)) == (a == b))
      let reference = zip(a.bytes, c.bytes).map(^)
      let second = zip(b.bytes, c.bytes).map(^)
      #expect((a.distance(to: c) < b.distance(to: c)) == reference.lexicographicallyPrecedes(second))
    }
  }

  @Test func theOverlayAddressIsThePrefixAndThirteenBytes() throws {
    let id = try #require(PeerID(hex: "00112233445566778899aabbccddeeff01234567"))
    let overlay = OverlayAddress(of: id)
    #expect(overlay.description == "fd73:6d00:1122:3344:5566:7788:99aa:bbcc")
    #expect(OverlayAddress(overlay.address) == overlay)
    #expect(overlay.address.isOverlay)
  }

  @Test(arguments: ["fd73:6e00::1", "fd73:6c00::1", "fd74:6d00::1", "::1", "192.0.2.1"])
  func onlyTheOverlaysPrefixIsOverlay(text: String) throws {
    #expect(OverlayAddress(try #require(IPAddress(text))) == nil)
  }
}
