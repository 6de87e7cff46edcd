import MeshWire
import Testing

@testable import LightNode

@Suite("The kernel's default route")
struct DefaultRouteTests {
  private let heading =
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"

  private func gateway(_ lines: String...) -> String? {
    let table = heading + lines.joined(separator: "\n") + "\n"
    return DefaultRoute.route(in: table, except: "shadowmesh0").map {
      "\($0.interface) \(IPAddress.v4($0.gateway))"
    }
  }

  private let lan = "eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0"
  private let eth = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0"
  private let wlan = "wlan0\t00000000\t0102A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0"

  @Test("The default route with the lowest metric counts")
  func lowest() {
    #expect(gateway(lan, eth, wlan) == "eth0 192.168.1.1")
    #expect(gateway(wlan, eth) == "eth0 192.168.1.1")
    #expect(gateway(wlan) == "wlan0 192.168.2.1")
    #expect(gateway(lan) == nil)
  }

  @Test(
    "Lines that are none are passed over",
    arguments: [
      "", "eth0", "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100", "\t\t\t\t\t\t\t\t",
      // Not up, without a gateway, of a host; a mask, a number or an address that is none; our own device.
      "eth0\t00000000\t0101A8C0\t0002\t0\t0\t100\t00000000\t0\t0\t0",
      "eth0\t00000000\t00000000\t0001\t0\t0\t100\t00000000\t0\t0\t0",
      "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\tFFFFFFFF\t0\t0\t0",
      "eth0\t00000000\t0101A8C0\t0003\t0\t0\t-1\t00000000\t0\t0\t0",
      "eth0\t00000000\t101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0",
      "eth0\t00000000\t+101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0",
      "sixteen-letters-\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0",
      "shadowmesh0\t00000000\t0101A8C0\t0003\t0\t0\t1\t00000000\t0\t0\t0",
    ])
  func passedOver(line: String) {
    #expect(gateway(line) == nil)
    #expect(gateway(line, wlan) == "wlan0 192.168.2.1")
  }

  @Test("This machine's address is the one in the gateway's network, else the first")
  func local() {
    let other: DefaultRoute.Address = (0x0a00_0005, 0xff00_0000)
    let home: DefaultRoute.Address = (0xc0a8_0102, 0xffff_ff00)
    #expect(DefaultRoute.local(among: [other, home], towards: 0xc0a8_0101) == 0xc0a8_0102)
    #expect(DefaultRoute.local(among: [other], towards: 0xc0a8_0101) == 0x0a00_0005)
    #expect(DefaultRoute.local(among: [], towards: 0xc0a8_0101) == nil)
  }
}
