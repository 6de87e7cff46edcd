import Harness
import MeshPaths
import MeshWire

private let gateway = Endpoint(.v4(0xc0a8_0101), port: 5_351)
private let search = Endpoint(.v4(0xc0a8_0101), port: 1_900)
private let route = GatewayRoute(gateway: gateway.address, local: .v4(0xc0a8_0102))
private let nonce = MappingNonce(Array(1...12))

/// What the router, or who passes for it, says to a node that keeps a port mapped: datagrams, HTTP answers
/// and pauses, in any order. A step is a byte that says what it is, and a field.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var input = FuzzInput(start, count)
  guard let nonce else { return 0 }
  var mapping = PortMapping(port: 8_443, nonce: nonce)
  var now = Instant(nanoseconds: 1 << 50)
  var actions: [PortMappingAction] = []
  mapping.use(route, now: now, into: &actions)
  var number: UInt32 = 0
  var steps = 0
  while !input.isEmpty, steps < 64 {
    steps += 1
    check(&actions, mapping, &number)
    let kind = input.byte()
    switch kind {
    case 0: mapping.receive(input.field()[...], from: gateway, now: now, into: &actions)
    case 1: mapping.receive(input.field()[...], from: search, now: now, into: &actions)
    case 2:
      mapping.receive(.answered(status: 200, body: input.field()), to: number, now: now, into: &actions)
    case 3:
      mapping.receive(.answered(status: 500, body: input.field()), to: number, now: now, into: &actions)
    case 4: mapping.receive(.failed, to: number, now: now, into: &actions)
    case 5: mapping.stop(now: now, into: &actions)
    default:
      now = now + .milliseconds(Int(input.uint16()) * 10)
      mapping.advance(now: now, into: &actions)
    }
  }
  check(&actions, mapping, &number)
  return 0
}

/// Whatever was said: nobody but the gateway is asked, and nothing is announced that can't be dialled.
private func check(_ actions: inout [PortMappingAction], _ mapping: PortMapping, _ number: inout UInt32) {
  precondition(actions.count <= 64, "a flood of actions")
  for action in actions {
    switch action {
    case .send(let bytes, let to):
      precondition(to.address == gateway.address || to == Endpoint(.v4(0xefff_fffa), port: 1_900))
      precondition(bytes.count <= 512)
    case .request(let request):
      precondition(request.url.host.address == gateway.address && request.url.host.port != 0)
      precondition(request.url.path.utf8.allSatisfy { (0x21...0x7e).contains($0) })
      number = request.number
    case .mapped(let mapped): precondition(mapped.endpoint.isDialable)
    case .lost, .finished: break
    }
  }
  precondition(mapping.findings.mapped.map(\.endpoint.isDialable) ?? true)
  _ = mapping.findings.description
  actions = []
}

/// Writes the seed inputs when asked to.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_: UnsafeMutableRawPointer?, _: UnsafeMutableRawPointer?) -> CInt {
  SeedCorpus.writeIfAsked { seeds }
  return 0
}

private let pcpGranted: [UInt8] =
  [2, 0x81, 0, 0, 0, 0, 0x0e, 0x10, 0, 0, 3, 0xe8] + [UInt8](repeating: 0, count: 12) + Array(1...12)
  + [17, 0, 0, 0, 0x20, 0xfb, 0x10, 0] + [UInt8](repeating: 0, count: 10) + [0xff, 0xff, 0xcb, 0, 0x71, 7]
private let natPMPAddress: [UInt8] = [0, 0x80, 0, 0, 0, 0, 3, 0xe8, 0xcb, 0, 0x71, 7]
private let natPMPGranted: [UInt8] = [0, 0x81, 0, 0, 0, 0, 3, 0xe8, 0x20, 0xfb, 0x10, 0, 0, 0, 0x0e, 0x10]

private func step(_ kind: UInt8, _ text: String) -> [UInt8] { [kind] + Array(text.utf8).asField }
private func soap(_ inner: String) -> String {
  "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>\(inner)"
    + "</s:Body></s:Envelope>"
}

private var seeds: [(name: String, bytes: [UInt8])] {
  // 10 ms each.
  let second: [UInt8] = [6, 0, 100]
  let halfLife: [UInt8] = [6, 0xff, 0xff, 6, 0xff, 0xff, 6, 0xff, 0xff]
  let noPCP: [UInt8] = [0] + [0, 0x81, 0, 1, 0, 0, 0, 16].asField
  let located = step(1, "HTTP/1.1 200 OK\r\nLOCATION: http://192.168.1.1:5000/rootDesc.xml\r\n\r\n")
  func device(_ version: Int) -> [UInt8] {
    step(
      2,
      "<?xml version=\"1.0\"?><root><URLBase>http://192.168.1.1:80/</URLBase><device><serviceList><service>"
        + "<serviceType>urn:schemas-upnp-org:service:WANIPConnection:\(version)</serviceType>"
        + "<controlURL>/ctl?a&amp;b</controlURL></service></serviceList></device></root>")
  }
  let address = step(
    2,
    soap(
      "<u:GetExternalIPAddressResponse><NewExternalIPAddress>203.0.113.7</NewExternalIPAddress>"
        + "</u:GetExternalIPAddressResponse>"))
  func fault(_ code: Int) -> [UInt8] {
    step(3, soap("<s:Fault><detail><UPnPError><errorCode>\(code)</errorCode></UPnPError></detail></s:Fault>"))
  }
  let added = step(2, soap("<u:AddPortMappingResponse/>"))
  let addedAny = step(
    2,
    soap("<u:AddAnyPortMappingResponse><NewReservedPort>5000</NewReservedPort></u:AddAnyPortMappingResponse>")
  )
  return [
    ("pcp", [0] + pcpGranted.asField + halfLife + [0] + pcpGranted.asField + [5, 0] + pcpGranted.asField),
    ("nat-pmp", noPCP + [0] + natPMPAddress.asField + [0] + natPMPGranted.asField + halfLife + [5]),
    ("upnp", located + second + second + second + device(1) + address + fault(718) + added + [5]),
    ("upnp-2", located + second + second + second + device(2) + address + addedAny + halfLife + [4]),
    ("upnp-permanent", located + second + second + second + device(1) + address + fault(725) + added + [5]),
  ]
}
