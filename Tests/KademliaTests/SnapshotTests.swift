import Kademlia
import MeshWire
import RepeatableRandom
import Testing

@Suite struct SnapshotTests {
  private func filled(seed: UInt64) -> RoutingTable {
    var random = SplitMix64(seed: seed)
    var table = RoutingTable(own: random.keyHash().peerID, now: .start)
    for second in 0..<600 { _ = table.insert(random.contact(), now: .seconds(second)) }
    return table
  }

  @Test(arguments: UInt64(1)...UInt64(8))
  func aTableSurvivesARestart(seed: UInt64) throws {
    let table = filled(seed: seed)
    let bytes = table.snapshot(now: .seconds(700))
    #expect(bytes.count == 28 + 63 * table.count)
    // Another clock: this process began 800 s ago.
    let restored = try RoutingTable(snapshot: bytes, own: table.own, now: .seconds(800))
    #expect(restored.contacts.map(\.hint) == table.contacts.map(\.hint))
    #expect(restored.contacts.map(\.lastSeen) == table.contacts.map { $0.lastSeen + .seconds(100) })
    #expect(restored.snapshot(now: .seconds(800)) == bytes)
    #expect(violations(of: restored) == [])
  }

  @Test func aClockThatBeganLaterThanTheContactsSaturates() throws {
    let table = filled(seed: 9)
    let bytes = table.snapshot(now: .seconds(700))
    let restored = try RoutingTable(snapshot: bytes, own: table.own, now: Instant(nanoseconds: 5))
    #expect(restored.count == table.count)
    #expect(restored.contacts.allSatisfy { $0.lastSeen <= Instant(nanoseconds: 5) })
  }

  @Test func everyTruncationIsRefused() {
    let table = filled(seed: 10)
    let bytes = table.snapshot(now: .seconds(700))
    for count in stride(from: 0, to: bytes.count, by: 13) {
      #expect(throws: DecodingFailure.truncated) {
        try RoutingTable(snapshot: Array(bytes.prefix(count)), own: table.own, now: .start)
      }
    }
  }

  @Test func malformedSnapshotsAreRefusedWithTheReason() {
    let table = filled(seed: 11)
    let good = table.snapshot(now: .seconds(700))
    func failure(_ change: (inout [UInt8]) -> Void) -> DecodingFailure? {
      var bytes = good
      change(&bytes)
      do {
        _ = try RoutingTable(snapshot: bytes, own: table.own, now: .start)
        return nil
      } catch {
        return error
      }
    }
    #expect(failure { _ in } == nil)
    #expect(failure { $0[0] ^= 1 } == .badValue)
    #expect(failure { $0[5] = 2 } == .unknownVersion)
    #expect(failure { $0[6] ^= 1 } == .badValue)
    #expect(failure { $0[26] = 0xff } == .tooLarge)
    #expect(failure { $0.append(0) } == .trailingBytes)
    #expect(failure { $0[28 + 32] = 5 } == .badValue)
  }

  @Test func aSnapshotOfAnotherNodeIsRefused() {
    let table = filled(seed: 12)
    let bytes = table.snapshot(now: .seconds(700))
    #expect(throws: DecodingFailure.badValue) {
      try RoutingTable(snapshot: bytes, own: filled(seed: 13).own, now: .start)
    }
  }

  /// Without this check whoever can write the file decides what we dial.
  @Test func whatBreaksALimitIsRefusedOnTheWayIn() throws {
    var random = SplitMix64(seed: 14)
    var loose = RoutingTable.Limits()
    loose.allowsLoopback = true
    loose.capacity = 300
    loose.bucketSize = 300
    loose.prefixPerBucket = 300
    loose.prefixPerTable = 300
    var table = RoutingTable(own: random.keyHash().peerID, limits: loose, now: .start)
    for host in 1...200 {
      let endpoint = Endpoint(.v4(0xc000_0200 + UInt32(host)), port: 1)
      _ = table.insert(random.contact(inBucket: 159, of: table.own, at: endpoint), now: .start)
    }
    _ = table.insert(
      random.contact(inBucket: 158, of: table.own, at: Endpoint(.v4(0x7f00_0001), port: 1)), now: .start)
    #expect(table.count == 201)
    let restored = try RoutingTable(snapshot: table.snapshot(now: .start), own: table.own, now: .start)
    #expect(restored.count == 2)
    #expect(restored.counters.bucketPrefixLimit == 198)
    #expect(restored.counters.notDialable == 1)
    #expect(violations(of: restored) == [])
  }

  /// Found by the fuzzer: a contact that stands twice, the second time as older, broke the order of last
  /// seen.
  @Test func aContactThatStandsTwiceKeepsTheOrder() throws {
    var random = SplitMix64(seed: 16)
    var table = RoutingTable(own: random.keyHash().peerID, now: .start)
    for second in 0..<3 {
      _ = table.insert(random.contact(inBucket: 159, of: table.own), now: .seconds(second))
    }
    var bytes = table.snapshot(now: .seconds(700))
    let oldest = bytes[28..<(28 + ContactHint.size)]
    bytes += oldest + [0, 0, 0xff, 0xff]
    bytes[27] += 1
    let restored = try RoutingTable(snapshot: bytes, own: table.own, now: .seconds(900))
    #expect(restored.count == table.count)
    #expect(violations(of: restored) == [])
    let again = restored.snapshot(now: .seconds(900))
    #expect(
      try RoutingTable(snapshot: again, own: table.own, now: .seconds(900)).contacts == restored.contacts)
  }

  /// Changed bytes give an error or a table whose limits hold, never a trap.
  @Test(arguments: UInt64(1)...UInt64(20))
  func randomDamageNeverBreaksAnInvariant(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let table = filled(seed: seed)
    let good = table.snapshot(now: .seconds(700))
    for _ in 0..<50 {
      var bytes = good
      for _ in 0..<Int.random(in: 1...40, using: &random) {
        bytes[Int.random(in: 28..<bytes.count, using: &random)] = random.bytes(1)[0]
      }
      guard let restored = try? RoutingTable(snapshot: bytes, own: table.own, now: .seconds(900)) else {
        continue
      }
      #expect(violations(of: restored) == [])
    }
  }

  @Test func aHintIs59BytesAndTwentyFitInADatagram() throws {
    var random = SplitMix64(seed: 15)
    #expect(ContactHint.size == 59)
    #expect(20 * ContactHint.size <= 1_200)
    for _ in 0..<200 {
      let v6 = Endpoint(.v6(random.next128()), port: UInt16.random(in: 0...65535, using: &random))
      let endpoint = Bool.random(using: &random) ? random.endpoint() : v6
      let hint = ContactHint(keyHash: random.keyHash(), endpoint: endpoint, sequence: random.next())
      var writer = ByteWriter()
      writer.write(hint)
      #expect(writer.bytes.count == ContactHint.size)
      var reader = ByteReader(writer.bytes)
      try expect(reader.contactHint(), equals: hint)
      try reader.end()
    }
  }

  @Test func aHintsLayoutIsTheDocuments() {
    let hash = KeyHash(Array(0..<32))!
    let hint = ContactHint(
      keyHash: hash, endpoint: Endpoint(.v4(0xc000_0201), port: 8443), sequence: 0x0102)
    var writer = ByteWriter()
    writer.write(hint)
    let expected =
      Array(UInt8(0)..<32).hex + "04" + "c0000201" + String(repeating: "0", count: 24) + "20fb"
      + "0000000000000102"
    #expect(writer.bytes.hex == expected)
  }
}

extension SplitMix64 {
  mutating func next128() -> UInt128 { UInt128(next()) << 64 | UInt128(next()) }
}
