import MeshWire
import RepeatableRandom
import Testing

@Suite struct EndpointTests {
  @Test func textComesBack() {
    var random = SplitMix64(seed: 1)
    for _ in 0..<1_000 {
      let endpoint = Endpoint(random.address(), port: UInt16(truncatingIfNeeded: random.next()))
      #expect(Endpoint(endpoint.description) == endpoint)
    }
    #expect(Endpoint("192.0.2.1:8443")?.description == "192.0.2.1:8443")
    #expect(Endpoint("[2001:DB8::1]:1")?.description == "[2001:db8::1]:1")
  }

  @Test(arguments: [
    "", ":", "192.0.2.1", "192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:+1", "192.0.2.1:-1", "192.0.2.1: 1",
    "192.0.2.1:1 ", "[192.0.2.1]:1", "2001:db8::1:1", "[2001:db8::1]", "[2001:db8::1]:", "[2001:db8::1:1",
    "2001:db8::1]:1", "[[::1]]:1", "example.org:80", "192.0.2.1:٣", "[::1%lo]:1", "[]:1", ":80",
  ])
  func anythingElseIsNoEndpoint(text: String) {
    #expect(Endpoint(text) == nil)
  }

  @Test func theCodecIs19BytesAndComesBack() throws {
    var random = SplitMix64(seed: 2)
    for _ in 0..<1_000 {
      let endpoint = Endpoint(random.address(), port: UInt16(truncatingIfNeeded: random.next()))
      var writer = ByteWriter()
      writer.write(endpoint)
      #expect(writer.bytes.count == Endpoint.size)
      var reader = ByteReader(writer.bytes)
      #expect(throws: Never.self) { try reader.endpoint() }
      try reader.end()
      var again = ByteReader(writer.bytes)
      try expect(again.endpoint(), equals: endpoint)
    }
  }

  @Test func theLayoutIsTheDocuments() throws {
    var writer = ByteWriter()
    writer.write(try #require(Endpoint("192.0.2.1:8443")))
    writer.write(try #require(Endpoint("[2001:db8::1]:443")))
    #expect(
      writer.bytes.hex == "04" + "c0000201" + String(repeating: "0", count: 24) + "20fb" + "06"
        + "20010db8000000000000000000000001" + "01bb")
  }

  /// Without the check two encodings would name one endpoint, and signed bytes could differ in what nobody
  /// sees.
  @Test func anIPv4EndpointWithPaddingIsRefused() {
    for position in 5..<17 {
      var bytes = [UInt8](repeating: 0, count: Endpoint.size)
      bytes[0] = 4
      bytes[position] = 1
      #expect(throws: DecodingFailure.badValue) {
        var reader = ByteReader(bytes)
        _ = try reader.endpoint()
      }
    }
  }

  @Test func otherFamiliesAndTruncationsAreRefused() {
    for family in UInt8.min...UInt8.max where family != 4 && family != 6 {
      #expect(throws: DecodingFailure.badValue) {
        var reader = ByteReader([family] + [UInt8](repeating: 0, count: 18))
        _ = try reader.endpoint()
      }
    }
    for count in 0..<Endpoint.size {
      #expect(throws: DecodingFailure.truncated) {
        var reader = ByteReader([UInt8](repeating: 6, count: count))
        _ = try reader.endpoint()
      }
    }
  }
}
