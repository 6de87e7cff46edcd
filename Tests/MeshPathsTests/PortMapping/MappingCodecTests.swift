import MeshWire
import Testing

@testable import MeshPaths

/// Bytes from hexadecimal digits with spaces for reading.
func octets(_ hex: String) -> [UInt8] { [UInt8](hex: hex.filter { !$0.isWhitespace }) ?? [] }

func ip(_ text: String) -> IPAddress { IPAddress(text)! }

@Suite("PCP on the wire (RFC 6887)")
struct PCPTests {
  static let nonce = MappingNonce(Array(1...12))!

  @Test("A MAP request is laid out as in figures 2 and 9")
  func request() {
    let request = PCP.MapRequest(
      client: ip("192.168.1.2"), nonce: Self.nonce, internalPort: 8_443, suggestedPort: 8_443,
      suggestedAddress: nil, lifetime: 7_200)
    let expected = octets(
      """
      02 01 0000 00001c20
      00000000 00000000 0000ffff c0a80102
      01020304 05060708 090a0b0c
      11 000000 20fb 20fb
      00000000 00000000 0000ffff 00000000
      """)
    #expect(request.encoded == expected)
    #expect(request.encoded.count == PCP.mapSize)
  }

  @Test("An ANNOUNCE request is a header alone")
  func announce() {
    let expected = octets("02 00 0000 00000000 00000000 00000000 0000ffff c0a80102")
    #expect(PCP.announcement(from: ip("192.168.1.2")) == expected)
  }

  /// Figures 3 and 10: success, an hour, epoch 1,000, 203.0.113.7:4096.
  static let answer = octets(
    """
    02 81 00 00 00000e10 000003e8 00000000 00000000 00000000
    01020304 05060708 090a0b0c
    11 000000 20fb 1000
    00000000 00000000 0000ffff cb007107
    """)

  @Test("A MAP response is read as in figures 3 and 10")
  func response() throws {
    let response = try PCP.response(Self.answer[...])
    #expect(response.result == .success)
    #expect(response.lifetime == 3_600)
    #expect(response.epoch == 1_000)
    #expect(
      response.map
        == PCP.MapAnswer(
          nonce: Self.nonce, protocol: 17, internalPort: 8_443, external: Endpoint("203.0.113.7:4096")!))
  }

  @Test("Options behind a response don't matter")
  func options() throws {
    let longer = try PCP.response((Self.answer + octets("03 00 0004 00000000"))[...])
    #expect(try longer == PCP.response(Self.answer[...]))
  }

  @Test("What is cut, too long, a request, or of another version or opcode is no response")
  func refused() {
    for count in 0..<PCP.mapSize {
      #expect(throws: DecodingFailure.self) { try PCP.response(Self.answer.prefix(count)) }
    }
    let bad: [[UInt8]] = [
      Self.answer + [0], Self.answer + [UInt8](repeating: 0, count: 1_044),
      [1] + Self.answer.dropFirst(), [2, 0x01] + Self.answer.dropFirst(2),
      [2, 0x82] + Self.answer.dropFirst(2),
    ]
    for one in bad { #expect(throws: DecodingFailure.self) { try PCP.response(one[...]) } }
  }

  @Test("A refusal of the version is known in PCP's form and in NAT-PMP's")
  func versions() {
    #expect(PCP.refusesVersion(octets("00 81 0001 00000010")[...]))
    #expect(PCP.refusesVersion((octets("01 81 00 01") + [UInt8](repeating: 0, count: 20))[...]))
    #expect(!PCP.refusesVersion(octets("00 81 0000 00000010")[...]))
    #expect(!PCP.refusesVersion(octets("00 01 0001 00000010")[...]))
    #expect(!PCP.refusesVersion(octets("00 81 0001")[...]))
    #expect(!PCP.refusesVersion(Self.answer[...]))
  }
}

@Suite("NAT-PMP on the wire (RFC 6886)")
struct NATPMPTests {
  @Test("Requests are laid out as in §3.2 and §3.3")
  func requests() {
    #expect(NATPMP.addressRequest == [0, 0])
    let request = NATPMP.mapRequest(internalPort: 8_443, externalPort: 4_096, lifetime: 7_200)
    #expect(request == octets("00 01 0000 20fb 1000 00001c20"))
  }

  @Test("Responses are read as in §3.2 and §3.3")
  func responses() throws {
    #expect(
      try NATPMP.response(octets("00 80 0000 000003e8 cb007107")[...])
        == .address(.success, epoch: 1_000, ip("203.0.113.7")))
    #expect(
      try NATPMP.response(octets("00 81 0000 000003e8 20fb 1000 00000e10")[...])
        == .map(.success, epoch: 1_000, internalPort: 8_443, externalPort: 4_096, lifetime: 3_600))
  }

  @Test("A refusal may end after the epoch (§3.5)")
  func short() throws {
    #expect(
      try NATPMP.response(octets("00 81 0002 000003e8")[...])
        == .map(NATPMPResult(code: 2), epoch: 1_000, internalPort: 0, externalPort: 0, lifetime: 0))
  }

  @Test("What is cut, longer, a request or of another version is no response")
  func refused() {
    let good = octets("00 81 0000 000003e8 20fb 1000 00000e10")
    for count in 0..<good.count {
      #expect(throws: DecodingFailure.self) { try NATPMP.response(good.prefix(count)) }
    }
    let bad = [
      good + [0], [1] + good.dropFirst(), [0, 1] + good.dropFirst(2), [0, 0x82] + good.dropFirst(2),
    ]
    for one in bad { #expect(throws: DecodingFailure.self) { try NATPMP.response(one[...]) } }
  }
}

@Suite("A router's epoch (RFC 6887 §8.5)")
struct RouterEpochTests {
  private func observe(_ first: UInt32, _ second: UInt32, after seconds: Int) -> Bool {
    var epoch = RouterEpoch()
    let start = Instant(nanoseconds: 1 << 40)
    _ = epoch.observe(first, now: start)
    return epoch.observe(second, now: start + .seconds(seconds))
  }

  @Test("Time that goes on as ours does is the same life of the router")
  func same() {
    #expect(observe(1_000, 1_060, after: 60))
    #expect(observe(1_000, 1_000, after: 2))
    // Reordered by a second; clocks a sixteenth apart.
    #expect(observe(1_000, 999, after: 0))
    #expect(observe(1_000, 2_500, after: 1_600))
    #expect(observe(1_000, 2_500, after: 1_406))
  }

  @Test("Time that went back, stood still or jumped is another")
  func other() {
    #expect(!observe(1_000, 998, after: 0))
    #expect(!observe(1_000, 5, after: 60))
    #expect(!observe(1_000, 1_000, after: 4))
    #expect(!observe(1_000, 2_500, after: 1_700))
    #expect(!observe(1_000, 2_500, after: 1_300))
  }
}
