import MeshCrypto
import MeshWire
import StrictConfiguration
import Testing

@testable import Backbone
@testable import BackboneAPI

@Suite("UDP settings") struct DatagramSettingsTests {
  private func settings(
    _ text: String = "", listen: String = "[::]:8443", origin: String = "https://b.example:8443"
  ) throws -> DatagramSettings {
    let whole = "region: europe\norigins: [\"\(origin)\"]\nlisten: [\"\(listen)\"]\nallow_plain_http: true\n"
    return try BackboneConfiguration(try ConfigurationFile(text: whole + text, name: "b.yaml")).datagrams
  }

  private func refusal(_ text: String) -> String? {
    do {
      _ = try settings(text)
      return nil
    } catch { return "\(error)" }
  }

  private func endpoint(_ text: String) throws -> Endpoint { try #require(Endpoint(text)) }

  @Test func `it listens where HTTP does, and announces what others can reach of that`() throws {
    #expect(try settings() == DatagramSettings(listen: endpoint("[::]:8443")))
    #expect(try settings(origin: "https://198.51.100.7:9").announced == [endpoint("198.51.100.7:8443")])
    #expect(try settings(listen: "198.51.100.7:99").announced == [endpoint("198.51.100.7:99")])
    #expect(try settings(listen: "127.0.0.1:0").announced.isEmpty)
    #expect(try settings("udp:\n  listen: off") == DatagramSettings(listen: nil))
    let both = try settings(
      "udp:\n  listen: \"[::]:7\"\n  announce: [\"198.51.100.7:8\", \"[2001:db8::7]:9\"]")
    #expect(both.listen == (try endpoint("[::]:7")))
    #expect(both.announced == [try endpoint("198.51.100.7:8"), try endpoint("[2001:db8::7]:9")])
  }

  @Test func `its STUN server is named beside an endpoint of the same family`() throws {
    let text = """
      udp:
        announce: ["198.51.100.7:8", "[2001:db8::7]:9"]
      stun:
        addresses: [198.51.100.7, 198.51.100.8]
      """
    let nodes = try settings(text).nodes(region: Fixture.region, keyHash: Fixture.alice.keyHash)
    #expect(nodes.map(\.stun) == [try endpoint("198.51.100.7:3478"), nil])
    let other = try settings("stun:\n  addresses: [198.51.100.7]\n  ports: [1, 2]").stun
    let place = STUNAddresses.Place(local: .v4(0xc633_6407), announced: .v4(0xc633_6407))
    #expect(other == STUNAddresses(places: [place], firstPort: 1, secondPort: 2))
    let translated = try settings(
      "udp:\n  announce: [\"198.51.100.7:8\"]\nstun:\n  addresses: [10.0.0.7]\n  announce: [198.51.100.7]")
    let announced = translated.nodes(region: Fixture.region, keyHash: Fixture.alice.keyHash)
    #expect(announced.map(\.stun) == [try endpoint("198.51.100.7:3478")])
    #expect(try settings("stun:\n  addresses: []").stun == nil)
  }

  @Test(arguments: [
    ("udp:\n  listen: 8443", "udp.listen: expected an address and port"),
    ("udp:\n  announce: [\"0.0.0.0:1\"]", "udp.announce"),
    ("udp:\n  announce: [\"192.0.2.1:0\"]", "udp.announce"),
    ("udp:\n  listen: off\n  announce: [\"192.0.2.1:1\"]", "udp.announce: counts only"),
    ("udp:\n  colour: red", "udp.colour: unknown key"),
    ("stun:\n  addresses: [\"::\"]", "stun.addresses: expected an address of this machine"),
    ("stun:\n  addresses: [192.0.2.1, 192.0.2.1]", "stun.addresses: expected different addresses"),
    ("stun:\n  addresses: [192.0.2.1, 192.0.2.2, 192.0.2.3]", "at most two of a family"),
    ("stun:\n  addresses: [192.0.2.1]\n  announce: [\"2001:db8::1\"]", "stun.announce: expected"),
    ("stun:\n  addresses: [192.0.2.1]\n  announce: []", "stun.announce: expected"),
    ("stun:\n  ports: [3478]", "stun.ports: expected two different ports"),
    ("stun:\n  ports: [3478, 3478]", "stun.ports: expected two different ports"),
    ("stun:\n  ports: [0, 1]", "stun.ports: expected a port"),
  ])
  func `each mistake is named`(text: String, expected: String) throws {
    #expect(try #require(refusal(text)).contains(expected), "\(refusal(text) ?? "")")
  }

  @Test func `the operator's own word about this backbone stands`() throws {
    let settings = Fixture.settings()
    let itself = BackboneNode(
      region: Fixture.region, endpoint: try endpoint("192.0.2.9:1"), keyHash: Fixture.backboneKey.keyHash)
    #expect(settings.announcing([itself]).nodes == settings.nodes)
    let other = BackboneNode(
      region: Fixture.region, endpoint: try endpoint("192.0.2.9:1"), keyHash: Fixture.bob.keyHash,
      stun: try endpoint("192.0.2.9:3478"))
    let nodes = settings.announcing([other]).nodes
    #expect(nodes == [other] + settings.nodes)
    let list = BackboneNodeList(
      issuer: Fixture.backboneKey.keyHash, issued: Fixture.now, expiry: Fixture.now + .seconds(60),
      nodes: nodes)
    let signed = SignedNodes(
      list, signature: try list.signed(by: Fixture.backboneKey),
      publicKey: Fixture.backboneKey.publicKey.bytes)
    let read = signed.verified(from: Fixture.backboneKey.keyHash, now: Fixture.now, tolerance: .seconds(1))
    #expect(read == nodes)
  }
}
