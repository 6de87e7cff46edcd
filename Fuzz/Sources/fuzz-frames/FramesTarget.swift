import Harness

@testable import NodeHost

/// What comes through a TLS stream, in pieces of any size: whoever reaches a relay's stream port says what,
/// before anybody knows who it is. By the first bit: bytes as they are, or fields that get good heads. The
/// pieces' sizes come first.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ first: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var input = FuzzInput(first, count)
  let choice = input.byte()
  let sizes = input.take(Int(choice >> 1))
  let stream = choice & 1 == 0 ? input.rest() : framed(&input)
  let expected = expectation(of: stream)
  // Whole, byte for byte, and as the input says.
  check(stream, in: [stream.count], against: expected)
  check(stream, in: [1], against: expected)
  check(stream, in: sizes.map { $0 < 0xe0 ? Int($0) : (Int($0) - 0xdf) * 173 }, against: expected)
  return 0
}

/// What a stream holds, read without any state.
private struct Expectation {
  var datagrams: [[UInt8]] = []
  /// Where the head stands that no datagram has, and the length in it.
  var failure: (offset: Int, length: Int)?
}

/// SMH1.md §9, word for word.
private func expectation(of stream: [UInt8]) -> Expectation {
  var expected = Expectation()
  var offset = 0
  while offset + 2 <= stream.count {
    let size = Int(stream[offset]) << 8 | Int(stream[offset + 1])
    guard size >= 1, size <= 1_452 else {
      expected.failure = (offset, size)
      break
    }
    guard offset + 2 + size <= stream.count else { break }
    expected.datagrams.append(Array(stream[(offset + 2)..<(offset + 2 + size)]))
    offset += 2 + size
  }
  return expected
}

/// Feeds the stream in pieces of these sizes, the last one again and again.
private func check(_ stream: [UInt8], in sizes: [Int], against expected: Expectation) {
  var parser = FrameParser()
  var received: [[UInt8]] = []
  var rest = stream[...]
  var turn = 0
  var hasFailed = false
  // Bytes of the stream that came out, with their heads.
  var whole = 0
  while !rest.isEmpty {
    // Empty pieces may come, but not for ever.
    let size = turn < sizes.count ? sizes[turn] : max(sizes.last ?? 0, 1)
    turn += 1
    let piece = rest.prefix(size)
    rest = rest.dropFirst(piece.count)
    let wasOver = hasFailed
    let before = received.count
    do throws(FramingFailure) {
      try parser.take(piece, into: &received)
      precondition(!wasOver || piece.isEmpty, "a stream that was given up goes on")
    } catch {
      precondition(error.length == expected.failure?.length, "a length that was not sent is refused")
      hasFailed = true
    }
    precondition(!wasOver || received.count == before, "a stream that was given up has more datagrams")
    precondition(parser.pending.count <= FrameParser.headSize + FrameParser.largest, "too much is held")
    precondition(parser.pending.capacity <= 4_096, "too much is held for what may come")
    let taken = stream.count - rest.count
    let failsHere = expected.failure.map { taken >= $0.offset + FrameParser.headSize } ?? false
    precondition(hasFailed == failsHere, "a length is refused too late, too early, or not at all")
    guard !hasFailed else { continue }
    for datagram in received[before...] { whole += FrameParser.headSize + datagram.count }
    precondition(parser.pending.count == taken - whole, "bytes are lost, or held twice")
    precondition(parser.isInside == (taken > whole))
  }
  precondition(received == expected.datagrams, "other datagrams than were sent")
  precondition(hasFailed == (expected.failure != nil))
}

private func framed(_ input: inout FuzzInput) -> [UInt8] {
  var stream: [UInt8] = []
  while !input.isEmpty { stream += input.field().asField }
  return stream
}

/// Writes the seed inputs when asked to.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_: UnsafeMutableRawPointer?, _: UnsafeMutableRawPointer?) -> CInt {
  SeedCorpus.writeIfAsked {
    func datagram(_ size: Int) -> [UInt8] { (0..<size).map { UInt8(truncatingIfNeeded: $0) } }
    let several = datagram(3).asField + datagram(1_452).asField + datagram(1).asField + datagram(258).asField
    // Pieces that end within a head, behind it, and within a datagram.
    let cuts: [UInt8] = [1, 1, 3, 0, 1, 0xe8, 2, 0xff]
    func seed(_ framing: UInt8, _ sizes: [UInt8], _ stream: [UInt8]) -> [UInt8] {
      [UInt8(sizes.count) << 1 | framing] + sizes + stream
    }
    return [
      ("one", seed(0, [], datagram(40).asField)), ("several", seed(0, cuts, several)),
      ("framed", seed(1, cuts, several + several)), ("unfinished", seed(0, cuts, several.dropLast(5))),
      ("half-a-head", seed(0, [], several + [5])), ("empty", seed(0, [2, 1, 1], [0, 1, 9, 0, 0, 0, 1, 9])),
      ("too-large", seed(0, [], several + [0x05, 0xad] + datagram(1_453))),
      ("largest-length", seed(0, cuts, [0xff, 0xff] + datagram(300))),
      ("text", seed(0, [4], Array("GET / HTTP/1.1\r\nHost: relay\r\n\r\n".utf8))),
    ]
  }
  return 0
}
