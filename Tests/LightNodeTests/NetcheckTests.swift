import ControlAPI
import Foundation
import MeshPaths
import MeshWire
import Testing

@testable import LightNode

@Suite("Netcheck")
struct NetcheckTests {
  @Test func `servers are endpoints that this node may send to`() throws {
    #expect(try ControlDesk.stunServers([], permitsLoopback: false) == nil)
    let both = ["192.0.2.1:3478", "[2001:db8::1]:3478"]
    #expect(try ControlDesk.stunServers(both, permitsLoopback: false)?.count == 2)
    #expect(try ControlDesk.stunServers(["127.0.0.1:3478"], permitsLoopback: true)?.count == 1)
    for text in ["", "stun.example:3478", "192.0.2.1", "127.0.0.1:3478", "224.0.0.1:1", "192.0.2.1:0"] {
      #expect(throws: ControlFailure.self) { try ControlDesk.stunServers([text], permitsLoopback: false) }
    }
    let many = Array(repeating: "192.0.2.1:3478", count: NATDetection.serverLimit + 1)
    #expect(throws: ControlFailure.self) { try ControlDesk.stunServers(many, permitsLoopback: false) }
  }

  @Test func `the report has what was found, and comes back the same`() throws {
    let server = try #require(Endpoint("192.0.2.1:3478"))
    var findings = NATFindings()
    var family = FamilyFindings()
    family.asked = 1
    family.answered = 1
    family.reflexive = Endpoint("203.0.113.5:4000")
    family.mapping = .addressAndPortDependent
    family.filtering = .addressDependent
    family.keepsPort = false
    findings.v4 = family
    findings.roundTrips = [STUNRoundTrip(server: server, time: .milliseconds(12))]
    let report = NetcheckReport(
      findings, finished: true, portMapping: PortMappingReport(PortMappingFindings()),
      regions: [server: "europe"], took: .milliseconds(2_500))
    #expect(report.milliseconds == 2_500)
    #expect(report.udp && report.ipv6 == nil && report.ipv4?.hairpin == nil)
    #expect(report.servers == [NetcheckServer(region: "europe", address: "192.0.2.1:3478", milliseconds: 12)])
    let line = try ControlLine.encode(ControlEnvelope(ControlAnswer.netcheck(report), more: true))
    #expect(try ControlLine.decode(ControlAnswer.self, from: line).body == .netcheck(report))
    let text = String(decoding: line, as: UTF8.self)
    #expect(text.contains("\"mapping\":\"address_and_port_dependent\""))
    #expect(text.contains("\"port_kept\":false"))
  }

  @Test func `the router is waited for until it has told all, or the time is up`() {
    var findings = PortMappingFindings()
    #expect(!ControlDesk.endsWait(for: findings, after: .zero))
    findings.obstacle = .noAnswer
    findings.upnp = .asking
    #expect(!ControlDesk.endsWait(for: findings, after: .seconds(4)))
    #expect(ControlDesk.endsWait(for: findings, after: NATDetection.limit - .milliseconds(100)))
    findings.upnp = .silent
    #expect(ControlDesk.endsWait(for: findings, after: .zero))
  }

  @Test func `the router's outer address is the mapped one, or the one that is no use`() throws {
    var findings = PortMappingFindings()
    #expect(findings.routerAddress == nil)
    findings.obstacle = .notPublic(try #require(IPAddress("100.64.0.9")))
    #expect(findings.routerAddress == IPAddress("100.64.0.9"))
    let endpoint = try #require(Endpoint("203.0.113.5:4000"))
    findings.mapped = MappedPort(endpoint: endpoint, lifetime: nil, by: .pcp)
    #expect(findings.routerAddress == endpoint.address)
  }
}
