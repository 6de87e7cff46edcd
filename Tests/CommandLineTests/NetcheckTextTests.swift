import ControlAPI
import Testing

@testable import shadowmesh

@Suite("The netcheck report in words")
struct NetcheckTextTests {
  private func family(
    _ address: String? = "203.0.113.5:4000", mapping: NetcheckFamily.Mapping = .endpointIndependent,
    filtering: NetcheckFamily.Filtering = .unknown, portKept: Bool? = nil, hairpin: Bool? = nil,
    carrierGrade: Bool? = nil
  ) -> NetcheckFamily {
    NetcheckFamily(
      asked: 1, answered: 1, address: address, mapping: mapping, filtering: filtering, portKept: portKept,
      hairpin: hairpin, carrierGrade: carrierGrade)
  }

  /// Labels and values as they are shown, without colours.
  private func lines(
    udp: Bool = true, ipv4: NetcheckFamily? = nil, ipv6: NetcheckFamily? = nil
  ) -> [String] {
    let report = NetcheckReport(
      finished: true, udp: udp, ipv4: ipv4, ipv6: ipv6,
      portMapping: PortMappingReport(
        summary: "the summary", endpoint: nil, by: nil, gateway: nil, pcp: "of PCP", natPmp: "of NAT-PMP",
        upnp: "of UPnP"),
      servers: [], meaning: "", milliseconds: 1)
    return NetcheckText(report).fields.map { label, value in
      let plain = value.split(separator: "\u{1b}", omittingEmptySubsequences: false).enumerated().map {
        $0.offset == 0 ? $0.element : $0.element.drop { $0 != "m" }.dropFirst()
      }
      return "\(label): \(plain.joined())"
    }
  }

  @Test("With nothing to ask it says so, and names each way to a mapped port")
  func nothing() {
    let ways = ["PCP: of PCP", "NAT-PMP: of NAT-PMP", "UPnP: of UPnP", "port mapping: the summary"]
    let families = ["IPv4: no server to ask", "IPv6: no server to ask"]
    #expect(lines() == ["UDP: gets out and back"] + families + ways)
    #expect(lines(udp: false).first == "UDP: no server answered")
    #expect(lines(ipv4: family(nil)).dropFirst().first == "IPv4: no answer")
  }

  @Test("Behind a NAT each property is told, yes, no or not known; of a CGNAT for IPv4 only")
  func behindNAT() {
    let told = lines(
      ipv4: family(portKept: true, hairpin: false),
      ipv6: family("[2001:db8::5]:4000", portKept: false, hairpin: true, carrierGrade: true))
    let same = "the same outer port for everyone (endpoint-independent)"
    let unknown = "can't tell: no server with two addresses answered"
    #expect(
      told[1...11] == [
        "IPv4: seen as 203.0.113.5:4000", "  mapping: \(same)", "  filter: \(unknown)", "  port kept: yes",
        "  hairpin: no", "  CGNAT: can't tell", "IPv6: seen as [2001:db8::5]:4000", "  mapping: \(same)",
        "  filter: \(unknown)", "  port kept: no", "  hairpin: yes",
      ])
    #expect(lines(ipv4: family(carrierGrade: true)).contains("  CGNAT: yes"))
    #expect(lines(ipv4: family(carrierGrade: false)).contains("  CGNAT: no"))
  }

  @Test("Without a NAT nothing is said of ports and hairpins")
  func noNAT() {
    let told = lines(ipv4: family(mapping: .none, portKept: true, hairpin: true, carrierGrade: false))
    #expect(told[2] == "  mapping: no NAT: others see this machine's own address")
    #expect(told[4] == "IPv6: no server to ask")
  }

  @Test(
    "Each mapping has its words",
    arguments: [
      (NetcheckFamily.Mapping.unknown, "can't tell: no server with two addresses answered"),
      (.none, "no NAT: others see this machine's own address"),
      (.endpointIndependent, "the same outer port for everyone (endpoint-independent)"),
      (.addressDependent, "another outer port for each address (address-dependent)"),
      (.addressAndPortDependent, "another outer port for each destination (symmetric)"),
    ])
  func mappings(mapping: NetcheckFamily.Mapping, words: String) {
    #expect(lines(ipv4: family(mapping: mapping))[2] == "  mapping: \(words)")
  }

  @Test(
    "Each filter has its words",
    arguments: [
      (NetcheckFamily.Filtering.unknown, "can't tell: no server with two addresses answered"),
      (.endpointIndependent, "none: anyone can send in (endpoint-independent)"),
      (.addressDependent, "only addresses that were sent to can send in (address-dependent)"),
      (.addressAndPortDependent, "only who was sent to can send in (address- and port-dependent)"),
    ])
  func filters(filtering: NetcheckFamily.Filtering, words: String) {
    #expect(lines(ipv4: family(filtering: filtering))[3] == "  filter: \(words)")
  }
}
