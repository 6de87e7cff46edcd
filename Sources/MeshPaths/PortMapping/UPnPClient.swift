import MeshWire

/// Finds the gateway's UPnP device and asks it for one mapping, renews and removes it.
struct UPnPClient: Hashable {
  private enum Phase: Hashable {
    case idle
    case searching(Retry)
    /// The description's place; nothing of it was read yet.
    case located(GatewayURL)
    case waiting(Step, number: UInt32, until: Instant)
    case held(IGD.Service)
  }

  /// What an HTTP request is for.
  private enum Step: Hashable {
    case description(GatewayURL)
    case address(IGD.Service)
    case adding(IGD.Service, IGD.Action, outer: IPAddress)
    case removing
  }

  /// Renewed at half of it, for this protocol has nothing that tells of a router's new start.
  static let lease: UInt32 = 1_200
  /// Searches, a second apart and then two: multicast gets lost on Wi-Fi.
  static let searches = 3
  /// Outer ports that are tried: ours, and others by chance.
  static let ports = 4
  /// The shell gives up sooner.
  static let patience: Duration = GatewayRequest.patience + .seconds(2)

  private let context: MappingContext
  private var phase = Phase.idle
  /// Of the requests, so that another client's answers are told from ours.
  private(set) var lastNumber: UInt32
  /// What the device is known for, so that a renewal need not begin at the search.
  private var service: IGD.Service?
  private var port: UInt16
  private var portsTried = 0
  private var lease = Self.lease

  init(_ context: MappingContext, after lastNumber: UInt32) {
    self.context = context
    self.lastNumber = lastNumber
    port = context.port
  }

  var deadline: Instant? {
    switch phase {
    case .searching(let retry): retry.due
    case .waiting(_, _, let until): until
    case .idle, .located, .held: nil
    }
  }

  /// It answered the search, and waits to be used.
  var isLocated: Bool { if case .located = phase { true } else { false } }

  /// A mapping was asked for, and the answer has not come.
  var isAdding: Bool { if case .waiting(.adding, _, _) = phase { true } else { false } }

  mutating func search(now: Instant, into actions: inout [PortMappingAction]) {
    phase = .searching(Retry(now: now, after: .seconds(1)))
    sendSearch(into: &actions)
  }

  /// Reads the description, and goes on to the mapping.
  mutating func map(now: Instant, into actions: inout [PortMappingAction]) {
    guard case .located(let url) = phase else { return }
    wait(for: .description(url), .get, at: url, now: now, into: &actions)
  }

  mutating func renew(now: Instant, into actions: inout [PortMappingAction]) {
    guard let service else { return }
    portsTried = 0
    perform(.address(service), .externalAddress, by: service, now: now, into: &actions)
  }

  /// Whether there is something to remove.
  mutating func remove(now: Instant, into actions: inout [PortMappingAction]) -> Bool {
    guard let service else { return false }
    perform(.removing, .delete(externalPort: port), by: service, now: now, into: &actions)
    return true
  }

  /// Searches no more; what was found stays known.
  mutating func rest() {
    if case .searching = phase { phase = .idle }
  }

  mutating func advance(now: Instant, into actions: inout [PortMappingAction]) -> [ClientEvent] {
    guard let deadline, now >= deadline else { return [] }
    switch phase {
    case .searching(var retry):
      guard retry.attempt + 1 < Self.searches else {
        phase = .idle
        return [.unreachable]
      }
      retry.sent(now: now, nextAfter: .seconds(2))
      phase = .searching(retry)
      sendSearch(into: &actions)
      return []
    case .waiting(let step, _, _):
      phase = .idle
      return step == .removing ? [.removed] : [.unreachable]
    case .idle, .located, .held: return []
    }
  }

  /// Takes a datagram of the gateway's that is no PCP and no NAT-PMP. `nil`: no answer to a search.
  mutating func receive(_ bytes: ArraySlice<UInt8>) -> [ClientEvent]? {
    guard case .searching = phase, let url = try? SSDP.location(in: bytes, on: context.gateway) else {
      // A device answers more than once, for each of its cards.
      return bytes.starts(with: "HTTP/1.".utf8) && phase != .idle ? [] : nil
    }
    phase = .located(url)
    return [.speaks]
  }

  /// Takes an HTTP answer. `nil`: to no request that is waited for.
  mutating func receive(
    _ answer: GatewayAnswer, to number: UInt32, now: Instant, into actions: inout [PortMappingAction]
  ) -> [ClientEvent]? {
    guard case .waiting(let step, number, _) = phase else { return nil }
    phase = .idle
    guard case .answered(let status, let body) = answer, body.count <= GatewayRequest.answerLimit else {
      return step == .removing ? [.removed] : [.unreachable]
    }
    switch step {
    case .description(let url):
      guard status == 200, let service = try? IGD.service(in: body[...], at: url) else {
        return [refusal(status == 200 ? 0 : status)]
      }
      self.service = service
      perform(.address(service), .externalAddress, by: service, now: now, into: &actions)
      return []
    case .address(let service): return takeAddress(status, body, service, now: now, into: &actions)
    case .adding(let service, let action, let outer):
      return takeMapping(status, body, service, action, outer, now: now, into: &actions)
    case .removing: return [.removed]
    }
  }

  private mutating func takeAddress(
    _ status: Int, _ body: [UInt8], _ service: IGD.Service, now: Instant,
    into actions: inout [PortMappingAction]
  ) -> [ClientEvent] {
    let answer: IGD.ActionAnswer
    do throws(UPnPFault) {
      answer = try IGD.answer(to: .externalAddress, status: status, body: body[...])
    } catch {
      return [refusal(error.code)]
    }
    guard let outer = answer.externalAddress else { return [refusal(UPnPFault.noAddress)] }
    guard OuterAddress.isPublic(outer) else { return [.outer(outer)] }
    add(service, outer: outer, any: service.type == .ipConnection2, now: now, into: &actions)
    return []
  }

  private mutating func takeMapping(
    _ status: Int, _ body: [UInt8], _ service: IGD.Service, _ action: IGD.Action, _ outer: IPAddress,
    now: Instant, into actions: inout [PortMappingAction]
  ) -> [ClientEvent] {
    let isAny = if case .addAny = action { true } else { false }
    do throws(UPnPFault) {
      let answer = try IGD.answer(to: action, status: status, body: body[...])
      if isAny {
        guard let reserved = answer.reservedPort, reserved != 0 else { return [refusal(0)] }
        port = reserved
      }
      phase = .held(service)
      return [.granted(Endpoint(outer, port: port), seconds: lease)]
    } catch {
      switch error.code {
      case UPnPFault.onlyPermanentLeases where lease != 0: lease = 0
      case UPnPFault.conflict where portsTried + 1 < Self.ports:
        portsTried += 1
        port = 1_024 + context.nonce.draw(portsTried) % 64_000
      case 401 where isAny, 402 where isAny, 602 where isAny:
        // A device of version 2 without the action of version 2.
        add(service, outer: outer, any: false, now: now, into: &actions)
        return []
      default: return [refusal(error.code)]
      }
      add(service, outer: outer, any: isAny, now: now, into: &actions)
      return []
    }
  }

  private mutating func add(
    _ service: IGD.Service, outer: IPAddress, any: Bool, now: Instant,
    into actions: inout [PortMappingAction]
  ) {
    let mapping = IGD.Mapping(
      externalPort: port, internalPort: context.port, client: context.local, lease: lease)
    let action: IGD.Action = any ? .addAny(mapping) : .add(mapping)
    perform(.adding(service, action, outer: outer), action, by: service, now: now, into: &actions)
  }

  private func refusal(_ code: Int) -> ClientEvent { .refused(MappingRefusal(by: .upnp, code: code)) }

  private mutating func perform(
    _ step: Step, _ action: IGD.Action, by service: IGD.Service, now: Instant,
    into actions: inout [PortMappingAction]
  ) {
    let header = "\"\(service.type.rawValue)#\(action.name)\""
    let kind = GatewayRequest.Kind.post(soapAction: header, body: action.body(for: service.type))
    wait(for: step, kind, at: service.control, now: now, into: &actions)
  }

  private mutating func wait(
    for step: Step, _ kind: GatewayRequest.Kind, at url: GatewayURL, now: Instant,
    into actions: inout [PortMappingAction]
  ) {
    lastNumber &+= 1
    phase = .waiting(step, number: lastNumber, until: now + Self.patience)
    actions.append(.request(GatewayRequest(number: lastNumber, url: url, kind: kind)))
  }

  private func sendSearch(into actions: inout [PortMappingAction]) {
    // To the group; and to the gateway itself, whose answer every firewall takes for one.
    actions.append(.send(SSDP.search(at: SSDP.group), to: SSDP.group))
    let gateway = Endpoint(context.gateway, port: SSDP.port)
    actions.append(.send(SSDP.search(at: gateway), to: gateway))
  }
}
