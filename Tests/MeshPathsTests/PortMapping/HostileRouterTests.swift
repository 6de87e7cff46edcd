import MeshWire
import Testing

@testable import MeshPaths

@Suite("Answers that nobody should believe")
struct HostileRouterTests {
  private let gateway = Endpoint(RouterOnPaper.gateway, port: 5_351)
  private let stranger = Endpoint("192.168.1.66:5351")!

  private let answers = Endpoint(RouterOnPaper.gateway, port: SSDP.port)

  private func located(_ url: String) -> [UInt8] { Array("HTTP/1.1 200 OK\r\nLOCATION: \(url)\r\n\r\n".utf8) }

  /// A node that waits for answers.
  private func asking() -> RouterOnPaper {
    var router = RouterOnPaper([])
    router.begin()
    return router
  }

  private func changed(_ answer: [UInt8], _ offset: Int, _ value: UInt8) -> [UInt8] {
    var answer = answer
    answer[offset] = value
    return answer
  }

  @Test("A PCP answer counts from the gateway, with our nonce, port and protocol")
  func pcp() {
    let good = PCPTests.answer
    var router = asking()
    router.hear(good, from: stranger)
    router.hear(good, from: Endpoint(RouterOnPaper.gateway, port: 5_350))
    router.hear(changed(good, 24, 9), from: gateway)
    router.hear(changed(good, 36, 6), from: gateway)
    router.hear(changed(good, 40, 9), from: gateway)
    // A life of nothing, and a port that is none.
    router.hear(changed(changed(good, 6, 0), 7, 0), from: gateway)
    router.hear(changed(good, 42, 0), from: gateway)
    router.hear(Array(good.dropLast()), from: gateway)
    router.hear(good + [UInt8](repeating: 0, count: 2_000), from: gateway)
    #expect(router.held == nil && router.told.isEmpty)
    #expect(router.mapping.findings.dropped == 9)
    router.hear(good, from: gateway)
    #expect(router.held == Endpoint("203.0.113.7:4096"))
  }

  @Test("Nothing that was not asked for changes what is held")
  func unasked() {
    var router = asking()
    router.hear(PCPTests.answer, from: gateway)
    router.forget()
    let other = changed(PCPTests.answer, 59, 99)
    router.hear(other, from: gateway)
    router.hear(octets("00 81 0000 000003e8 20fb 1000 00000e10"), from: gateway)
    router.hear(octets("00 81 0001 00000010"), from: gateway)
    router.hear(octets("02 80 00 00 00000000 00000000 00000000 00000000 00000000"), from: gateway)
    #expect(router.held == Endpoint("203.0.113.7:4096"))
    #expect(router.told.isEmpty && router.sent.isEmpty)
    #expect(router.mapping.findings.dropped == 4)
  }

  @Test("A NAT-PMP answer counts from the gateway, and for our port")
  func natPMP() {
    var router = asking()
    router.hear(octets("00 80 0000 000003e8 cb007107"), from: stranger)
    router.hear(octets("00 81 0000 000003e8 20fb 1000 00000e10"), from: gateway)
    #expect(router.mapping.findings.dropped == 2)
    router.hear(octets("00 80 0000 000003e8 cb007107"), from: gateway)
    router.pass(.seconds(1))
    router.hear(octets("00 81 0000 000003e8 20fc 1000 00000e10"), from: gateway)
    router.hear(octets("00 81 0000 000003e8 20fb 0000 00000e10"), from: gateway)
    #expect(router.held == nil && router.mapping.findings.dropped == 4)
    router.hear(octets("00 81 0000 000003e8 20fb 1000 00000e10"), from: gateway)
    #expect(router.held == Endpoint("203.0.113.7:4096"))
  }

  @Test("A second refusal of PCP's version is not taken for NAT-PMP's")
  func twice() {
    var router = asking()
    let refusal = octets("00 81 0001 00000010")
    router.hear(refusal, from: gateway)
    router.hear(octets("00 80 0000 000003e8 cb007107"), from: gateway)
    router.hear(refusal, from: gateway)
    #expect(router.mapping.findings.pcp == .absent && router.mapping.findings.natPMP == .answers)
    router.hear(octets("00 81 0000 000003e8 20fb 1000 00000e10"), from: gateway)
    #expect(router.held == Endpoint("203.0.113.7:4096"))
  }

  @Test("A late grant is not taken for the answer to a removal")
  func lateGrant() {
    let context = MappingContext(
      gateway: RouterOnPaper.gateway, local: ip("192.168.1.2"), port: RouterOnPaper.port,
      nonce: RouterOnPaper.nonce)
    var client = PCPClient(context, lifetime: 7_200)
    let now = Instant(nanoseconds: 1 << 40)
    var actions: [PortMappingAction] = []
    client.ask(suggesting: nil, now: now, into: &actions)
    client.remove(now: now, into: &actions)
    let granted = client.receive(PCPTests.answer[...], now: now)
    #expect(granted == [.speaks] && client.deadline != nil)
    let removed = client.receive(changed(changed(PCPTests.answer, 6, 0), 7, 0)[...], now: now)
    #expect(removed == [.speaks, .removed] && client.deadline == nil)
  }

  @Test("A UPnP answer from another host, or one that leads there, makes us ask nobody")
  func foreignDevice() {
    var router = asking()
    router.hear(
      located("http://192.168.1.66/a.xml"),
      from: Endpoint("192.168.1.66:1900")!)
    router.hear(
      located("http://192.168.1.1/a.xml"),
      from: Endpoint("192.168.1.66:1900")!)
    router.hear(located("http://203.0.113.1/a.xml"), from: answers)
    router.pass(.seconds(128))
    #expect(router.requests.isEmpty)
    #expect(router.mapping.findings.upnp == .silent)
  }

  @Test("A description that leads elsewhere is not followed")
  func foreignControl() throws {
    var router = asking()
    router.hear(
      located("http://192.168.1.1/a.xml"),
      from: answers)
    router.speaks = []
    router.httpFails = false
    let document = IGDTests.description([(IGD.ServiceType.ipConnection1.rawValue, "http://203.0.113.1/ctl")])
    var mapping = router.mapping
    var actions: [PortMappingAction] = []
    mapping.advance(now: router.now + .seconds(2), into: &actions)
    let request = actions.compactMap { if case .request(let request) = $0 { request } else { nil } }.first
    let number = try #require(request).number
    actions = []
    mapping.receive(
      .answered(status: 200, body: document), to: number, now: router.now + .seconds(2), into: &actions)
    #expect(actions.isEmpty)
    #expect(mapping.findings.upnp == .refuses(MappingRefusal(by: .upnp, code: 0)))
  }

  @Test("An HTTP answer to no request of ours, or one over the limit, is not read")
  func http() throws {
    var router = asking()
    router.hear(
      located("http://192.168.1.1/a.xml"),
      from: answers)
    var mapping = router.mapping
    var actions: [PortMappingAction] = []
    let later = router.now + .seconds(2)
    mapping.advance(now: later, into: &actions)
    let document = IGDTests.description([(IGD.ServiceType.ipConnection1.rawValue, "/ctl")])
    actions = []
    mapping.receive(.answered(status: 200, body: document), to: 7, now: later, into: &actions)
    #expect(actions.isEmpty && mapping.findings.dropped == 1)
    let padded = document + [UInt8](repeating: 0x20, count: GatewayRequest.answerLimit)
    mapping.receive(.answered(status: 200, body: padded), to: 1, now: later, into: &actions)
    #expect(actions.isEmpty && mapping.findings.upnp == .refuses(MappingRefusal(by: .upnp, code: 0)))
  }

  @Test("A life of one second has nobody renew or announce in a frenzy")
  func frenzy() {
    var router = RouterOnPaper([.pcp])
    router.lifetime = 1
    router.begin()
    router.pass(.seconds(60))
    #expect(router.pcpSent.count <= 17 && router.told.count == 1)
  }

  @Test("A life of years is looked at again within a day")
  func years() {
    var router = RouterOnPaper([.pcp])
    router.lifetime = 7_200
    router.begin()
    let long = changed(changed(PCPTests.answer, 4, 0x7f), 5, 0xff)
    router.pass(.seconds(3_600))
    router.forget()
    router.loses = { _ in true }
    router.pass(.seconds(3_600))
    router.hear(long, from: gateway)
    router.forget()
    router.loses = { _ in false }
    router.pass(.seconds(43_200))
    #expect(router.pcpSent.contains { $0[1] == 1 })
  }

  @Test("Rubbish of every length is dropped")
  func rubbish() {
    var router = asking()
    var seed: UInt64 = 1
    for length in 0..<200 {
      for port in [5_351, 1_900] as [UInt16] {
        let rubbish = (0..<length).map { index -> UInt8 in
          seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
          return index == 0 ? UInt8(length % 3) : UInt8(truncatingIfNeeded: seed >> 56)
        }
        router.hear(rubbish, from: Endpoint(RouterOnPaper.gateway, port: port))
      }
    }
    #expect(router.told.isEmpty && router.held == nil)
  }
}
