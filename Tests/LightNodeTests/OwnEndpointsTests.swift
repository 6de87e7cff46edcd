import MeshCrypto
import MeshWire
import Testing

@testable import LightNode

@Suite("Own endpoints")
struct OwnEndpointsTests {
  private func endpoints(_ text: [String]) -> [Endpoint] { text.compactMap { Endpoint($0) } }

  private func own(configured: [String] = []) -> OwnEndpoints {
    var configuration = LightNodeConfiguration()
    configuration.endpoints = endpoints(configured)
    return OwnEndpoints(configuration: LiveConfiguration(configuration), listenPort: 1)
  }

  @Test func whatOthersSawComesBeforeInterfacesAndEachOnce() {
    let own = own()
    own.set(.interface, endpoints(["192.0.2.1:1", "10.0.0.1:1"]))
    own.set(.reflexive, endpoints(["198.51.100.1:9", "192.0.2.1:1"]))
    own.set(.mapped, endpoints(["198.51.100.1:5"]))
    #expect(
      own.announced == [
        AnnouncedEndpoint(.mapped, endpoints(["198.51.100.1:5"])[0]),
        AnnouncedEndpoint(.reflexive, endpoints(["198.51.100.1:9"])[0]),
        AnnouncedEndpoint(.reflexive, endpoints(["192.0.2.1:1"])[0]),
        AnnouncedEndpoint(.interface, endpoints(["10.0.0.1:1"])[0]),
      ])
  }

  @Test func theOwnersWordStandsForTheInterfaces() {
    let own = own(configured: ["203.0.113.1:7"])
    own.set(.interface, endpoints(["10.0.0.1:1"]))
    let configured = AnnouncedEndpoint(.configured, endpoints(["203.0.113.1:7"])[0])
    #expect(own.announced == [configured])
    let interface = AnnouncedEndpoint(.interface, endpoints(["10.0.0.1:1"])[0])
    #expect(own.own == [configured, interface], "paths within one network are worth a try")
  }

  @Test func thereAreEightAtMost() {
    let own = own()
    own.set(.reflexive, (1...20).map { Endpoint(.v4(0xc633_6401), port: $0) })
    own.set(.interface, (1...20).map { Endpoint(.v4(0x0a00_0001), port: $0) })
    #expect(own.announced.count == RecordBody.endpointLimit)
  }

  @Test func defaultRoutesAreReadAndOthersLeftOut() {
    let v4 = """
      Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
      wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
      wlan0\t0000A8C0\t00000000\t0001\t0\t0\t600\t00FFFFFF\t0\t0\t0
      tun1\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0
      """
    let zero = String(repeating: "0", count: 32)
    let router = "fe80" + String(repeating: "0", count: 27) + "1"
    let v6 = """
      \(zero) 00 \(zero) 00 \(router) 00000400 00000001 00000000 00000003     eth0
      fe80\(zero.dropFirst(4)) 40 \(zero) 00 \(zero) 00000100 00000001 00000000 00000001     eth0
      \(zero) 00 \(zero) 00 \(zero) ffffffff 00000001 00000000 00200200       lo
      """
    #expect(DefaultRoutes.parse(v4: v4, v6: v6) == ["eth0 \(router)", "wlan0 0100A8C0"])
    #expect(DefaultRoutes.parse(v4: "", v6: "one two\n\n").isEmpty)
  }
}
