import MeshWire
import RepeatableRandom
import Testing

@Suite struct IPAddressTests {
  /// RFC 5952: each form that its sections 1 and 2 list as ambiguous, and what its section 4 makes of it.
  @Test(arguments: [
    ("2001:0db8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"),
    ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
    ("2001:db8::1:0:0:1", "2001:db8::1:0:0:1"),
    ("2001:db8:0:0:1::1", "2001:db8::1:0:0:1"),
    ("2001:DB8:0:0:1::1", "2001:db8::1:0:0:1"),
    ("2001:db8:aaaa:bbbb:cccc:dddd:eeee:0001", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1"),
    ("2001:db8:0:0:0::1", "2001:db8::1"),
    ("2001:db8:0:0::1", "2001:db8::1"),
    ("2001:db8::0:1", "2001:db8::1"),
    ("2001:db8:0:0:0:0:2:1", "2001:db8::2:1"),
    ("2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
    ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
    ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
    ("0:0:0:0:0:0:0:0", "::"), ("::", "::"), ("0:0:0:0:0:0:0:1", "::1"), ("1:0:0:0:0:0:0:0", "1::"),
    ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"), ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
    ("::FFFF:C000:0201", "::ffff:c000:201"),
    ("192.0.2.1", "192.0.2.1"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"),
  ])
  func theTextIsCanonical(text: String, canonical: String) {
    #expect(IPAddress(text)?.description == canonical)
  }

  @Test(arguments: [
    "", ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8",
    "1:2:3:4::5:6:7:8", "12345::", "::g", "::+1", "::-1", " ::1", "::1 ", "::1%eth0", "[::1]",
    "::ffff:192.0.2.1",
    ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.00", "256.1.1.1", "1.2.3.4 ",
    "1..2.3", ".1.2.3", "+1.2.3.4", "-1.2.3.4", "٠.1.1.1", "0x7f.0.0.1", "2130706433", "::٠",
    "1.2.3.4444444444",
  ])
  func anythingElseIsNoAddress(text: String) {
    #expect(IPAddress(text) == nil)
  }

  @Test func bytesAndTextComeBack() {
    var random = SplitMix64(seed: 1)
    for _ in 0..<2_000 {
      let address = random.address()
      #expect(IPAddress(address.bytes) == address)
      #expect(IPAddress(address.description) == address)
      #expect(!address.description.contains(":::"))
    }
    for count in [0, 3, 5, 15, 17] { #expect(IPAddress([UInt8](repeating: 1, count: count)) == nil) }
  }

  @Test func limitsAreHeldAgainstASlash24OrASlash56() throws {
    func prefix(_ text: String) throws -> String {
      try #require(IPAddress(text)).limitPrefix.description
    }
    #expect(try prefix("192.0.2.255") == "192.0.2.0")
    #expect(try prefix("192.0.3.1") == "192.0.3.0")
    #expect(try prefix("2001:db8:1:23ff:ffff:ffff:ffff:ffff") == "2001:db8:1:2300::")
    #expect(try prefix("2001:db8:1:2400::1") == "2001:db8:1:2400::")
  }

  /// Without this classification strangers choose what we send to (protocol.md §6).
  @Test(arguments: [
    ("127.0.0.1", false), ("127.255.255.255", false), ("126.255.255.255", true), ("128.0.0.0", true),
    ("::1", false), ("224.0.0.1", false), ("239.255.255.255", false), ("223.255.255.255", true),
    ("255.255.255.255", false), ("ff02::1", false), ("ff00::", false), ("fe00::1", true),
    ("169.254.1.1", false), ("169.253.1.1", true), ("fe80::1", false), ("febf::1", false), ("fec0::1", true),
    ("0.0.0.0", false), ("::", false), ("fd73:6d00::1", false), ("fd73:6dff::1", false),
    ("fd73:6e00::1", true),
    ("fd00::1", true), ("10.0.0.1", true), ("2001:db8::1", true),
    // IPv4 in IPv6's clothes: a dual-stack socket would send these to the IPv4 address.
    ("::ffff:7f00:1", false), ("::ffff:c000:201", false), ("::1:0:0", true),
  ])
  func onlyOrdinaryAddressesAreDialable(text: String, dialable: Bool) throws {
    let address = try #require(IPAddress(text))
    #expect(Endpoint(address, port: 8443).isDialable == dialable)
    #expect(!Endpoint(address, port: 0).isDialable)
  }
}
