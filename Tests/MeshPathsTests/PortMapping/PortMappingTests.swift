import MeshWire
import Testing

@testable import MeshPaths

@Suite("Keeping a port mapped")
struct PortMappingTests {
  private let outer = Endpoint("203.0.113.7:4096")!

  private func held(_ speaks: Set<RouterOnPaper.Speaks>, _ change: (inout RouterOnPaper) -> Void = { _ in })
    -> RouterOnPaper
  {
    var router = RouterOnPaper(speaks)
    change(&router)
    router.begin()
    router.pass(.seconds(5))
    return router
  }

  @Test("PCP is used where it is spoken, at once, and the others are found out about all the same")
  func pcp() {
    var router = RouterOnPaper([.pcp, .natPMP, .upnp])
    router.begin()
    #expect(router.mapping.findings.isSettled)
    #expect(router.told == [.mapped(MappedPort(endpoint: outer, lifetime: .seconds(3_600), by: .pcp))])
    router.pass(.seconds(5))
    #expect(router.told.count == 1)
    let findings = router.mapping.findings
    #expect([findings.pcp, findings.natPMP, findings.upnp] == [.answers, .answers, .answers])
    #expect(findings.isSettled && findings.obstacle == nil && findings.dropped == 0)
    #expect(router.pcpSent.count == 1 && router.natPMPSent == [NATPMP.addressRequest])
    #expect(router.requests.isEmpty)
  }

  @Test("A router that answers PCP with NAT-PMP's version is asked by NAT-PMP at once")
  func fallback() {
    var router = RouterOnPaper([.natPMP, .upnp])
    router.begin()
    #expect(router.held == outer)
    #expect(router.mapping.findings.mapped?.by == .natPMP)
    #expect(router.mapping.findings.pcp == .absent)
    router.pass(.seconds(5))
    #expect(router.requests.isEmpty)
  }

  @Test("A router that is silent to PCP is asked by NAT-PMP after a second, and by UPnP after two")
  func silentPCP() {
    var router = RouterOnPaper([.natPMP])
    router.loses = { $0[0] == 2 }
    router.begin()
    router.pass(.milliseconds(990))
    #expect(router.held == nil)
    router.pass(.milliseconds(20))
    #expect(router.mapping.findings.mapped?.by == .natPMP)

    router = RouterOnPaper([.upnp])
    router.begin()
    router.pass(.milliseconds(1_990))
    #expect(router.requests.isEmpty)
    router.pass(.milliseconds(20))
    #expect(router.held == Endpoint("203.0.113.7:8443"))
    #expect(router.mapping.findings.mapped?.by == .upnp)
    router.pass(.seconds(2))
    #expect(router.mapping.findings.pcp == .silent && router.mapping.findings.natPMP == .silent)
  }

  @Test("A router of PCP alone tells NAT-PMP so")
  func pcpAlone() {
    let router = held([.pcp])
    #expect(router.mapping.findings.natPMP == .absent && router.mapping.findings.upnp == .silent)
  }

  @Test("What the router speaks is known after three seconds, though a mapping stands long before")
  func complete() {
    var router = RouterOnPaper([.pcp])
    router.begin()
    router.pass(.milliseconds(2_990))
    #expect(router.mapping.findings.isSettled && !router.mapping.findings.isComplete)
    router.pass(.milliseconds(20))
    #expect(router.mapping.findings.isComplete)
  }

  @Test("A PCP that refuses leaves the mapping to NAT-PMP, and that to UPnP")
  func refusals() {
    #expect(held([.pcp, .natPMP]) { $0.pcpResult = 2 }.mapping.findings.mapped?.by == .natPMP)
    let upnp = held([.pcp, .natPMP, .upnp]) {
      $0.pcpResult = 2
      $0.natPMPResult = 2
    }
    #expect(upnp.mapping.findings.mapped?.by == .upnp)
    let none = held([.pcp, .natPMP]) {
      $0.pcpResult = 8
      $0.natPMPResult = 4
    }
    #expect(none.mapping.findings.obstacle == .refused(MappingRefusal(by: .pcp, code: 8)))
    #expect(none.told.isEmpty)
    let offline = held([.pcp, .natPMP]) {
      $0.pcpResult = 8
      $0.natPMPResult = 3
    }
    #expect(offline.mapping.findings.obstacle == .noOuterAddress)
  }

  @Test("Silence is told after three seconds; it is asked on for two minutes, and again after twenty")
  func nobody() {
    var router = RouterOnPaper([])
    router.begin()
    router.pass(.milliseconds(2_990))
    #expect(!router.mapping.findings.isSettled)
    router.pass(.milliseconds(20))
    #expect(router.mapping.findings.obstacle == .noAnswer)
    router.pass(.seconds(130))
    // RFC 6886 §3.1: nine; RFC 6887 §8.1.1: at 0, 3, 9, 21, 45 and 93 s; searches at 0, 1 and 3 s.
    #expect(router.natPMPSent.count == 9 && router.pcpSent.count == 6 && router.searches == 3)
    router.forget()
    router.pass(PortMapping.pause - .seconds(10))
    #expect(router.sent.isEmpty)
    router.speaks = [.pcp]
    router.pass(.seconds(10))
    #expect(router.held == outer)
  }

  @Test("NAT-PMP is asked again after 250 ms, and twice as long each time")
  func timings() {
    var router = RouterOnPaper([])
    router.begin()
    router.pass(.seconds(5))
    let start = router.sent[0].at
    let times = router.sent.filter { $0.bytes == NATPMP.addressRequest }.map { $0.at - start }
    #expect(times == [0, 250, 750, 1_750, 3_750].map { Duration.milliseconds($0) })
  }

  @Test("A lost request is made good", arguments: [RouterOnPaper.Speaks.pcp, .natPMP, .upnp])
  func loss(speaks: RouterOnPaper.Speaks) {
    var router = RouterOnPaper([speaks])
    var seen: Set<[UInt8]> = []
    router.loses = { seen.insert($0).inserted }
    router.begin()
    router.pass(.seconds(8))
    #expect(router.held != nil)
  }

  @Test("A mapping is renewed at half of its life", arguments: [RouterOnPaper.Speaks.pcp, .natPMP])
  func renewal(speaks: RouterOnPaper.Speaks) {
    var router = held([speaks])
    router.forget()
    router.pass(.seconds(1_790))
    let renewals = { (router: RouterOnPaper) in
      (speaks == .pcp ? router.pcpSent : router.natPMPSent).count { $0[1] == 1 }
    }
    #expect(renewals(router) == 0)
    router.pass(.seconds(10))
    #expect(renewals(router) == 1)
    // What is held is suggested again.
    let request = (speaks == .pcp ? router.pcpSent : router.natPMPSent).last { $0[1] == 1 }!
    #expect(Array(request[(speaks == .pcp ? 42 : 6)...].prefix(2)) == [0x10, 0x00])
    router.pass(.seconds(36_000))
    #expect(router.held == outer && router.told.isEmpty)
  }

  @Test("A UPnP mapping is renewed at half of its lease, and one without an end as often")
  func upnpRenewal() {
    for faults in [[], [725]] {
      var router = held([.upnp]) { $0.faults = faults }
      #expect(router.mapping.findings.mapped?.lifetime == (faults.isEmpty ? .seconds(1_200) : nil))
      router.forget()
      router.pass(.seconds(1_300))
      #expect(router.posted("AddPortMapping").count == 2 && router.told.isEmpty)
    }
  }

  @Test("A renewal that brings another endpoint is told")
  func moved() {
    var router = held([.natPMP])
    router.outerPort = 5_000
    router.pass(.seconds(1_800))
    #expect(
      router.told.last
        == .mapped(
          MappedPort(endpoint: Endpoint("203.0.113.7:5000")!, lifetime: .seconds(3_600), by: .natPMP)))
  }

  @Test("A change of the outer address is noticed within a minute by NAT-PMP")
  func addressChange() {
    var router = held([.natPMP])
    router.outer = ip("203.0.113.8")
    router.pass(.seconds(60))
    #expect(router.held == Endpoint("203.0.113.8:4096"))
  }

  @Test("A mapping that is not renewed is lost when it ends, and not before")
  func expiry() {
    var router = held([.pcp])
    router.loses = { _ in true }
    router.forget()
    router.pass(.seconds(3_590))
    #expect(router.told.isEmpty && router.pcpSent.count > 5)
    router.pass(.seconds(10))
    #expect(router.told == [.lost(.expired)] && router.mapping.findings.obstacle == .expired)
    router.loses = { _ in false }
    router.pass(.seconds(10))
    #expect(router.held == outer)
  }

  @Test(
    "A router that has started anew is asked again within a minute",
    arguments: [RouterOnPaper.Speaks.pcp, .natPMP])
  func restart(speaks: RouterOnPaper.Speaks) {
    var router = held([speaks])
    router.pass(.seconds(300))
    router.restart()
    router.outerPort = 6_000
    router.pass(.seconds(60))
    #expect(router.held == Endpoint("203.0.113.7:6000"))
  }

  @Test("A router that has started anew and then is silent has lost the mapping half a minute later")
  func restartSilence() {
    var router = held([.pcp])
    router.restart()
    router.loses = { $0[1] == 1 }
    router.forget()
    router.pass(.seconds(60))
    #expect(router.told.isEmpty)
    router.pass(.seconds(31))
    #expect(router.told == [.lost(.routerRestarted)])
  }

  @Test("A UPnP device that is gone is searched for anew")
  func upnpGone() {
    var router = held([.upnp])
    router.httpFails = true
    router.pass(.seconds(640))
    #expect(router.told.last == .lost(.expired))
    router.httpFails = false
    router.pass(.seconds(1_400))
    #expect(router.held == Endpoint("203.0.113.7:8443"))
  }

  @Test("A taken port is replaced by others, four at most")
  func conflict() {
    let router = held([.upnp]) { $0.faults = [718, 718] }
    let ports = router.posted("AddPortMapping").compactMap {
      $0.split(separator: "NewExternalPort>")[1].split(separator: "<").first
    }
    #expect(ports.count == 3 && Set(ports).count == 3 && ports[0] == "8443")
    #expect(router.held?.port == ports.last.flatMap { UInt16($0) })
    let never = held([.upnp]) { $0.faults = [718, 718, 718, 718, 718] }
    #expect(never.posted("AddPortMapping").count == 4)
    #expect(never.mapping.findings.upnp == .refuses(MappingRefusal(by: .upnp, code: 718)))
    #expect(never.mapping.findings.obstacle == .refused(MappingRefusal(by: .upnp, code: 718)))
  }

  @Test("A device of version 2 chooses the port itself; without that action it is asked as version 1")
  func anyPort() {
    let any = held([.upnp]) { $0.serviceType = .ipConnection2 }
    #expect(any.held == outer && any.posted("AddPortMapping").isEmpty)
    let old = held([.upnp]) {
      $0.serviceType = .ipConnection2
      $0.faults = [401]
    }
    #expect(old.held == Endpoint("203.0.113.7:8443") && old.posted("AddPortMapping").count == 1)
  }

  @Test(
    "A router whose own address is not public is a finding, not a mapping",
    arguments: [RouterOnPaper.Speaks.pcp, .natPMP, .upnp], ["100.64.0.9", "192.168.0.2", "0.0.0.0"])
  func doubleNAT(speaks: RouterOnPaper.Speaks, inner: String) {
    var router = held([speaks]) { $0.outer = ip(inner) }
    #expect(router.told.isEmpty && router.held == nil)
    #expect(router.mapping.findings.obstacle == .notPublic(ip(inner)))
    #expect(router.mapping.findings.description.contains(inner))
    #expect(router.posted("AddPortMapping").isEmpty)
    // What PCP had made in asking is removed.
    #expect(speaks != .pcp || router.pcpSent.last.map { Array($0[4..<8]) } == [0, 0, 0, 0])
    router.outer = ip("203.0.113.7")
    router.pass(PortMapping.pause + .seconds(3))
    #expect(router.held != nil)
  }

  @Test("A mapping is lost when the outer address becomes a private one")
  func becomesPrivate() {
    var router = held([.natPMP])
    router.outer = ip("10.0.0.5")
    router.forget()
    router.pass(.seconds(60))
    #expect(router.told == [.lost(.notPublic(ip("10.0.0.5")))])
  }

  @Test("At the end the mapping is removed", arguments: [RouterOnPaper.Speaks.pcp, .natPMP, .upnp])
  func removal(speaks: RouterOnPaper.Speaks) {
    var router = held([speaks])
    router.forget()
    router.stop()
    #expect(router.told == [.lost(.stopped), .finished])
    switch speaks {
    case .pcp:
      #expect(router.pcpSent.count == 1 && Array(router.pcpSent[0][4..<8]) == [0, 0, 0, 0])
      #expect(Array(router.pcpSent[0][24..<36]) == RouterOnPaper.nonce.bytes)
    case .natPMP: #expect(router.natPMPSent == [octets("00 01 0000 20fb 0000 00000000")])
    case .upnp: #expect(router.posted("DeletePortMapping").count == 1)
    }
    router.forget()
    router.pass(.seconds(10_000))
    #expect(router.sent.isEmpty && router.requests.isEmpty && router.mapping.nextDeadline == nil)
  }

  @Test(
    "A removal that is not answered is tried again, and ends after two seconds",
    arguments: [RouterOnPaper.Speaks.pcp, .natPMP])
  func silentRemoval(speaks: RouterOnPaper.Speaks) {
    var router = held([speaks])
    router.loses = { _ in true }
    router.forget()
    router.stop()
    router.pass(.milliseconds(1_990))
    #expect(router.told == [.lost(.stopped)] && router.sent.count >= 3)
    router.pass(.milliseconds(20))
    #expect(router.told == [.lost(.stopped), .finished])
  }

  @Test("What a router may have granted unheard is removed too")
  func unheard() {
    var router = RouterOnPaper([])
    router.begin()
    router.forget()
    router.stop()
    #expect(router.told == [.finished])
    #expect(router.pcpSent.map { Array($0[4..<8]) } == [[0, 0, 0, 0]])

    var slow = RouterOnPaper([.upnp])
    slow.silentAction = "#AddPortMapping"
    slow.begin()
    slow.pass(.seconds(3))
    slow.stop()
    #expect(slow.posted("DeletePortMapping").count == 1 && slow.told == [.finished])
  }

  @Test("Without a gateway, or with a public address, nobody is asked")
  func noNeed() {
    var router = RouterOnPaper([.pcp])
    router.begin(nil)
    #expect(router.mapping.findings.obstacle == .noGateway)
    router.begin(GatewayRoute(gateway: ip("203.0.113.1"), local: ip("203.0.113.9")))
    #expect(router.mapping.findings.obstacle == .notNeeded)
    router.begin(GatewayRoute(gateway: ip("127.0.0.1"), local: ip("192.168.1.2")))
    #expect(router.mapping.findings.obstacle == .noGateway)
    router.pass(.seconds(5_000))
    #expect(router.sent.isEmpty)
    router.stop()
    #expect(router.told == [.finished])
  }

  @Test("Another gateway is asked anew, and what the old one gave is lost")
  func otherGateway() {
    var router = held([.pcp])
    router.forget()
    router.begin(RouterOnPaper.route)
    #expect(router.told.isEmpty && router.sent.isEmpty)
    router.begin(GatewayRoute(gateway: ip("192.168.1.1"), local: ip("192.168.1.3")))
    #expect(router.told.first == .lost(.noGateway) && router.told.count == 2)
    #expect(router.held == outer)
    router.begin(nil)
    #expect(router.held == nil && router.mapping.nextDeadline == nil)
  }
}
