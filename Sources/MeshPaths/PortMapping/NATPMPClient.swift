import MeshWire

/// Asks for one mapping by NAT-PMP, renews and removes it (RFC 6886 §3).
struct NATPMPClient: Hashable {
  private enum Phase: Hashable {
    case idle
    /// Its outer address, then, if so, a mapping.
    case askingAddress(Retry, thenMap: Bool)
    case askingMap(Retry)
    case removing(Retry)
  }

  /// §3.1: nine requests, 250 ms after the first and twice as long after each.
  static let attempts = 9

  private let context: MappingContext
  private let lifetime: UInt32
  private var phase = Phase.idle
  private var epoch = RouterEpoch()
  private var outer: IPAddress?
  private var suggestedPort: UInt16
  private var isWatching = false

  init(_ context: MappingContext, lifetime: UInt32) {
    self.context = context
    self.lifetime = lifetime
    suggestedPort = context.port
  }

  var server: Endpoint { Endpoint(context.gateway, port: NATPMP.serverPort) }

  /// Its outer address is known, and a mapping not yet asked for.
  var isReady: Bool { phase == .idle && outer != nil }

  var isAskingForMapping: Bool { if case .askingMap = phase { true } else { false } }

  var deadline: Instant? {
    switch phase {
    case .idle: nil
    case .askingAddress(let retry, _), .askingMap(let retry), .removing(let retry): retry.due
    }
  }

  /// Asks for the outer address, which has no effect there: does it speak the protocol?
  mutating func probe(now: Instant, into actions: inout [PortMappingAction]) {
    outer = nil
    begin(.askingAddress(Retry(now: now, after: Self.pause(after: 0)), thenMap: false), into: &actions)
  }

  /// Asks for a mapping on the address that the probe has shown.
  mutating func map(now: Instant, into actions: inout [PortMappingAction]) {
    begin(.askingMap(Retry(now: now, after: Self.pause(after: 0))), into: &actions)
  }

  /// Asks for the address and the mapping anew.
  mutating func renew(_ endpoint: Endpoint, now: Instant, into actions: inout [PortMappingAction]) {
    suggestedPort = endpoint.port
    outer = nil
    begin(.askingAddress(Retry(now: now, after: Self.pause(after: 0)), thenMap: true), into: &actions)
  }

  /// Asks for the epoch and the outer address, once.
  mutating func watch(into actions: inout [PortMappingAction]) {
    guard phase == .idle else { return }
    isWatching = true
    actions.append(.send(NATPMP.addressRequest, to: server))
  }

  mutating func remove(now: Instant, into actions: inout [PortMappingAction]) {
    begin(.removing(Retry(now: now, after: Self.pause(after: 0))), into: &actions)
  }

  mutating func rest() { phase = .idle }

  /// The server speaks another version.
  mutating func giveUp() -> [ClientEvent]? {
    switch phase {
    case .askingAddress, .askingMap:
      phase = .idle
      outer = nil
      return [.absent]
    case .idle, .removing: return nil
    }
  }

  mutating func advance(now: Instant, into actions: inout [PortMappingAction]) -> [ClientEvent] {
    guard let deadline, now >= deadline else { return [] }
    func again(_ retry: Retry) -> Retry? {
      guard retry.attempt + 1 < Self.attempts else { return nil }
      var retry = retry
      retry.sent(now: now, nextAfter: Self.pause(after: retry.attempt + 1))
      return retry
    }
    let next: Phase? =
      switch phase {
      case .idle: nil
      case .askingAddress(let retry, let thenMap): again(retry).map { .askingAddress($0, thenMap: thenMap) }
      case .askingMap(let retry): again(retry).map { .askingMap($0) }
      case .removing(let retry): again(retry).map { .removing($0) }
      }
    guard let next else {
      phase = .idle
      outer = nil
      return [.unreachable]
    }
    begin(next, into: &actions)
    return []
  }

  /// Takes what came from the gateway's port. `nil`: nothing that was asked for.
  mutating func receive(
    _ bytes: ArraySlice<UInt8>, now: Instant, into actions: inout [PortMappingAction]
  ) -> [ClientEvent]? {
    guard let response = try? NATPMP.response(bytes) else { return nil }
    switch response {
    // To PCP's request, come twice: none of ours has another version than its own.
    case .address(.unsupportedVersion, _, _), .map(.unsupportedVersion, _, _, _, _): return nil
    case .address(let result, let epoch, let address):
      return take(result, address, epoch: epoch, now: now, into: &actions)
    case .map(let result, let epoch, let internalPort, let externalPort, let seconds):
      if result == .success, internalPort != context.port { return nil }
      switch phase {
      case .removing where result != .success || seconds == 0:
        phase = .idle
        return [.removed]
      case .askingMap:
        _ = self.epoch.observe(epoch, now: now)
        guard result == .success else {
          phase = .idle
          outer = nil
          return [.refused(MappingRefusal(by: .natPMP, code: result.code))]
        }
        guard externalPort != 0, seconds > 0, let outer else { return nil }
        phase = .idle
        return [.granted(Endpoint(outer, port: externalPort), seconds: seconds)]
      default: return nil
      }
    }
  }

  private mutating func take(
    _ result: NATPMPResult, _ address: IPAddress, epoch: UInt32, now: Instant,
    into actions: inout [PortMappingAction]
  ) -> [ClientEvent]? {
    switch phase {
    case .askingAddress(_, let thenMap):
      phase = .idle
      guard result == .success else {
        return [.refused(MappingRefusal(by: .natPMP, code: result.code))]
      }
      _ = self.epoch.observe(epoch, now: now)
      outer = address
      guard thenMap, OuterAddress.isPublic(address) else { return [.speaks, .outer(address)] }
      map(now: now, into: &actions)
      return []
    case .idle where isWatching:
      isWatching = false
      guard result == .success else { return [] }
      return (self.epoch.observe(epoch, now: now) ? [] : [.restarted]) + [.outer(address)]
    case .idle, .askingMap, .removing: return nil
    }
  }

  private mutating func begin(_ phase: Phase, into actions: inout [PortMappingAction]) {
    self.phase = phase
    switch phase {
    case .idle: break
    case .askingAddress: actions.append(.send(NATPMP.addressRequest, to: server))
    case .askingMap:
      let request = NATPMP.mapRequest(
        internalPort: context.port, externalPort: suggestedPort, lifetime: lifetime)
      actions.append(.send(request, to: server))
    case .removing:
      let request = NATPMP.mapRequest(internalPort: context.port, externalPort: 0, lifetime: 0)
      actions.append(.send(request, to: server))
    }
  }

  private static func pause(after attempt: Int) -> Duration { .milliseconds(250 << attempt) }
}
