import MeshWire
import RepeatableRandom
import Testing

@Suite struct ByteReaderTests {
  @Test func whatAWriterWroteAReaderReads() throws {
    var random = SplitMix64(seed: 1)
    for _ in 0..<300 {
      let a = UInt8(truncatingIfNeeded: random.next())
      let b = UInt16(truncatingIfNeeded: random.next())
      let c = UInt32(truncatingIfNeeded: random.next())
      let d = random.next()
      let hash = try #require(KeyHash(random.bytes(32)))
      let tail = random.bytes(Int.random(in: 0...40, using: &random))
      var writer = ByteWriter(reserving: 100)
      writer.write(a)
      writer.write(b)
      writer.write(c)
      writer.write(d)
      writer.write(hash)
      writer.write(hash.peerID)
      writer.write(zeros: 5)
      writer.write(tail)
      // A slice whose indices do not begin at zero.
      var reader = ByteReader(([9, 9, 9] + writer.bytes + [9])[3..<(3 + writer.bytes.count)])
      try expect(reader.uint8(), equals: a)
      try expect(reader.uint16(), equals: b)
      try expect(reader.uint32(), equals: c)
      try expect(reader.uint64(), equals: d)
      try expect(reader.keyHash(), equals: hash)
      try expect(reader.peerID(), equals: hash.peerID)
      try reader.zeros(5)
      #expect(reader.remaining == tail.count)
      try expect(reader.bytes(tail.count), equals: tail)
      try reader.end()
    }
  }

  @Test func integersAreBigEndian() {
    var writer = ByteWriter()
    writer.write(UInt16(0x0102))
    writer.write(UInt32(0x0304_0506))
    writer.write(UInt64(0x0708_090a_0b0c_0d0e))
    #expect(writer.bytes == Array(1...14))
  }

  /// Without the bound a length field from outside reads past the message.
  @Test(arguments: [-1, Int.min, 4, 5, Int.max]) func nothingIsReadPastTheEnd(count: Int) {
    var reader = ByteReader([1, 2, 3])
    #expect(throws: DecodingFailure.truncated) { try reader.bytes(count) }
    #expect(throws: DecodingFailure.truncated) { try reader.slice(count) }
    #expect(reader.remaining == 3)
    #expect(throws: DecodingFailure.truncated) { try reader.uint32() }
    #expect(throws: DecodingFailure.truncated) { try reader.uint64() }
    #expect(throws: DecodingFailure.truncated) { try reader.keyHash() }
    #expect(throws: DecodingFailure.truncated) { try reader.peerID() }
    #expect(throws: DecodingFailure.trailingBytes) { try reader.end() }
    try? expect(reader.uint16(), equals: 0x0102)
    try? expect(reader.uint8(), equals: 3)
    #expect(throws: DecodingFailure.truncated) { try reader.uint8() }
    #expect(throws: Never.self) { try reader.end() }
  }

  @Test func zerosMustBeZero() {
    for position in 0..<4 {
      var bytes: [UInt8] = [0, 0, 0, 0]
      bytes[position] = 1
      #expect(throws: DecodingFailure.badValue) {
        var reader = ByteReader(bytes)
        try reader.zeros(4)
      }
    }
  }

  @Test func hexadecimalComesBack() {
    var random = SplitMix64(seed: 2)
    for count in 0..<70 {
      let bytes = random.bytes(count)
      #expect([UInt8](hex: bytes.hex) == bytes)
      #expect([UInt8](hex: bytes.hex + "0") == nil)
    }
  }
}
