import MeshWire

@testable import MeshPaths

/// A router that answers as its switches say, and a node's `PortMapping` beside it, on one clock.
struct RouterOnPaper {
  static let gateway = ip("192.168.1.1")
  static let route = GatewayRoute(gateway: gateway, local: ip("192.168.1.2"))
  static let nonce = MappingNonce(Array(1...12))!
  static let port: UInt16 = 8_443

  enum Speaks { case pcp, natPMP, upnp }

  // The router.
  var speaks: Set<Speaks> = []
  var outer = ip("203.0.113.7")
  var outerPort: UInt16 = 4_096
  var lifetime: UInt32 = 3_600
  var pcpResult: UInt8 = 0
  var natPMPResult: UInt16 = 0
  var started: Instant
  var serviceType = IGD.ServiceType.ipConnection1
  /// Codes that AddPortMapping fails with, one after the other.
  var faults: [Int] = []
  var httpFails = false
  /// An action that is never answered.
  var silentAction: String?
  /// Whether a datagram of the node's gets lost.
  var loses: ([UInt8]) -> Bool = { _ in false }

  // The node.
  var mapping = PortMapping(port: port, nonce: nonce)
  private(set) var now = Instant(nanoseconds: 1 << 50)
  /// All that the node did, in order.
  private(set) var sent: [(bytes: [UInt8], to: Endpoint, at: Instant)] = []
  private(set) var requests: [GatewayRequest] = []
  private(set) var told: [PortMappingAction] = []

  init(_ speaks: Set<Speaks>) {
    self.speaks = speaks
    started = Instant(nanoseconds: (1 << 50) - 1_000_000_000_000)
  }

  var held: Endpoint? { mapping.findings.mapped?.endpoint }
  var pcpSent: [[UInt8]] { sent.filter { $0.to.port == 5_351 && $0.bytes[0] == 2 }.map(\.bytes) }
  var natPMPSent: [[UInt8]] { sent.filter { $0.to.port == 5_351 && $0.bytes[0] == 0 }.map(\.bytes) }
  var searches: Int { sent.count { $0.to == SSDP.group } }

  func posted(_ action: String) -> [String] {
    requests.compactMap {
      guard case .post(let header, let body) = $0.kind, header.hasSuffix("#\(action)\"") else { return nil }
      return String(decoding: body, as: UTF8.self)
    }
  }

  mutating func forget() {
    sent = []
    requests = []
    told = []
  }

  mutating func begin(_ route: GatewayRoute? = route) {
    var actions: [PortMappingAction] = []
    mapping.use(route, now: now, into: &actions)
    carry(actions)
  }

  mutating func stop() {
    var actions: [PortMappingAction] = []
    mapping.stop(now: now, into: &actions)
    carry(actions)
  }

  mutating func hear(_ bytes: [UInt8], from source: Endpoint) {
    var actions: [PortMappingAction] = []
    mapping.receive(bytes[...], from: source, now: now, into: &actions)
    carry(actions)
  }

  mutating func hear(_ answer: GatewayAnswer, to number: UInt32) {
    var actions: [PortMappingAction] = []
    mapping.receive(answer, to: number, now: now, into: &actions)
    carry(actions)
  }

  /// Lets so much time go by, with every deadline kept.
  mutating func pass(_ duration: Duration) {
    let end = now + duration
    var turns = 0
    while let deadline = mapping.nextDeadline, deadline <= end, turns < 10_000 {
      turns += 1
      now = max(now, deadline)
      var actions: [PortMappingAction] = []
      mapping.advance(now: now, into: &actions)
      carry(actions)
    }
    precondition(turns < 10_000, "deadlines that nothing comes of")
    now = end
  }

  /// The router loses what it knew.
  mutating func restart() { started = now }

  private mutating func carry(_ actions: [PortMappingAction]) {
    for action in actions {
      switch action {
      case .send(let bytes, let to):
        sent.append((bytes, to, now))
        guard !loses(bytes), let answer = answer(bytes, to: to) else { continue }
        hear(answer, from: Endpoint(Self.gateway, port: to.port))
      case .request(let request):
        requests.append(request)
        if case .post(let header, _) = request.kind, let silent = silentAction, header.contains(silent) {
          continue
        }
        hear(httpFails ? .failed : answer(request), to: request.number)
      case .mapped, .lost, .finished: told.append(action)
      }
    }
  }

  private var epoch: UInt32 { UInt32((now - started).components.seconds) }

  private func answer(_ bytes: [UInt8], to: Endpoint) -> [UInt8]? {
    if to.port == SSDP.port {
      guard speaks.contains(.upnp), to.address == Self.gateway else { return nil }
      return Array("HTTP/1.1 200 OK\r\nLOCATION: \(IGDTests.url.text)\r\n\r\n".utf8)
    }
    guard to == Endpoint(Self.gateway, port: 5_351) else { return nil }
    return bytes[0] == 2 ? answerPCP(bytes) : answerNATPMP(bytes)
  }

  private func answerPCP(_ bytes: [UInt8]) -> [UInt8]? {
    guard speaks.contains(.pcp) else {
      return speaks.contains(.natPMP) ? [0, 0x80 | bytes[1], 0, 1, 0, 0, 0, 1] : nil
    }
    var writer = ByteWriter()
    writer.write([2, 0x80 | bytes[1], 0, pcpResult] as [UInt8])
    let asked = bytes[4..<8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    writer.write(pcpResult == 0 ? min(asked, lifetime) : 30)
    writer.write(epoch)
    writer.write(zeros: 12)
    guard bytes[1] == 1 else { return writer.bytes }
    writer.write(bytes[24..<42])
    writer.write(outerPort)
    writer.write(zeros: 10)
    writer.write(UInt16(0xffff))
    writer.write(outer.bytes)
    return writer.bytes
  }

  private func answerNATPMP(_ bytes: [UInt8]) -> [UInt8]? {
    guard speaks.contains(.natPMP) else {
      return speaks.contains(.pcp) ? [2, 0x80, 0, 1] + [UInt8](repeating: 0, count: 20) : nil
    }
    var writer = ByteWriter()
    writer.write([0, 0x80 | bytes[1]] as [UInt8])
    writer.write(natPMPResult)
    writer.write(epoch)
    if bytes[1] == 0 {
      writer.write(outer.bytes)
    } else {
      let asked = bytes[8..<12].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      writer.write(bytes[4..<6])
      writer.write(asked == 0 ? 0 : outerPort)
      writer.write(min(asked, lifetime))
    }
    return writer.bytes
  }

  private mutating func answer(_ request: GatewayRequest) -> GatewayAnswer {
    guard case .post(let header, _) = request.kind else {
      return .answered(status: 200, body: IGDTests.description([(serviceType.rawValue, "/ctl")]))
    }
    func done(_ action: String, _ inner: String = "") -> GatewayAnswer {
      .answered(status: 200, body: IGDTests.soap("<u:\(action)Response>\(inner)</u:\(action)Response>"))
    }
    if header.contains("#GetExternalIPAddress") {
      return done("GetExternalIPAddress", "<NewExternalIPAddress>\(outer)</NewExternalIPAddress>")
    }
    if header.contains("#DeletePortMapping") { return done("DeletePortMapping") }
    if !faults.isEmpty {
      return .answered(status: 500, body: IGDTests.fault(faults.removeFirst()))
    }
    return header.contains("#AddAny")
      ? done("AddAnyPortMapping", "<NewReservedPort>\(outerPort)</NewReservedPort>") : done("AddPortMapping")
  }
}
