import RepeatableRandom
import Testing

@testable import NodeHost

@Suite("Datagrams in a stream")
struct FrameParserTests {
  private func framed(_ datagram: [UInt8]) -> [UInt8] {
    [UInt8(datagram.count >> 8), UInt8(datagram.count & 255)] + datagram
  }

  @Test(
    "however the bytes are cut, the datagrams come out whole and in order",
    arguments: 0..<200 as Range<UInt64>)
  func cuts(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let sent = (0..<Int.random(in: 1...20, using: &random)).map { _ -> [UInt8] in
      let size = [1, 2, 1_452, Int.random(in: 1...1_452, using: &random)].randomElement(using: &random)!
      return (0..<size).map { _ in UInt8.random(in: 0...255, using: &random) }
    }
    var stream = sent.flatMap { framed($0) }[...]
    var parser = FrameParser()
    var received: [[UInt8]] = []
    while !stream.isEmpty {
      let piece = stream.prefix(Int.random(in: 1...4_000, using: &random))
      stream = stream.dropFirst(piece.count)
      try parser.take(piece, into: &received)
    }
    #expect(received == sent && !parser.isInside)
  }

  @Test(
    "a length that no datagram has ends it, and what came before it stands", arguments: [0, 1_453, 65_535])
  func badLengths(length: Int) {
    var parser = FrameParser()
    var received: [[UInt8]] = []
    #expect(throws: FramingFailure(length: length)) {
      try parser.take(
        framed([1, 2, 3]) + [UInt8(length >> 8), UInt8(length & 255)] + [9], into: &received)
    }
    #expect(received == [[1, 2, 3]])
  }

  @Test("whatever comes, no more than one datagram is held", arguments: 0..<200 as Range<UInt64>)
  func garbage(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var parser = FrameParser()
    var received: [[UInt8]] = []
    for _ in 0..<20 {
      let bytes = (0..<Int.random(in: 0...3_000, using: &random)).map { _ in
        UInt8.random(in: 0...(seed.isMultiple(of: 2) ? 5 : 255), using: &random)
      }
      do { try parser.take(bytes, into: &received) } catch { return }
      #expect(received.allSatisfy { (1...FrameParser.largest).contains($0.count) })
      received = []
    }
  }

  @Test("a datagram that has begun is seen to be unfinished")
  func inside() throws {
    var parser = FrameParser()
    var received: [[UInt8]] = []
    try parser.take([0], into: &received)
    #expect(parser.isInside)
    try parser.take([2, 7], into: &received)
    #expect(parser.isInside && received.isEmpty)
    try parser.take([8], into: &received)
    #expect(!parser.isInside && received == [[7, 8]])
  }
}
