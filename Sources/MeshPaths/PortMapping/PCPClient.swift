import MeshWire

/// Asks for one mapping by PCP, renews and removes it (RFC 6887 §8.1, §11).
struct PCPClient: Hashable {
  private enum Phase: Hashable {
    case idle
    case asking(Retry)
    case removing(Retry)
  }

  private let context: MappingContext
  private let lifetime: UInt32
  private var phase = Phase.idle
  private var epoch = RouterEpoch()
  private var suggestion: Endpoint?
  private var awaitsAnnouncement = false
  /// A request is out, so the gateway may hold a mapping of ours even if no answer came.
  private(set) var mayHoldMapping = false

  init(_ context: MappingContext, lifetime: UInt32) {
    self.context = context
    self.lifetime = lifetime
  }

  var server: Endpoint { Endpoint(context.gateway, port: PCP.serverPort) }

  var deadline: Instant? {
    switch phase {
    case .idle: nil
    case .asking(let retry), .removing(let retry): retry.due
    }
  }

  /// Asks for a mapping, or for a longer life of the one that is suggested.
  mutating func ask(suggesting endpoint: Endpoint?, now: Instant, into actions: inout [PortMappingAction]) {
    suggestion = endpoint
    mayHoldMapping = true
    phase = .asking(Retry(now: now, after: pause(after: 0)))
    send(lifetime: lifetime, into: &actions)
  }

  /// Asks for the epoch.
  mutating func watch(into actions: inout [PortMappingAction]) {
    awaitsAnnouncement = true
    actions.append(.send(PCP.announcement(from: context.local), to: server))
  }

  mutating func remove(now: Instant, into actions: inout [PortMappingAction]) {
    mayHoldMapping = false
    suggestion = nil
    phase = .removing(Retry(now: now, after: Self.removalPause))
    send(lifetime: 0, into: &actions)
  }

  /// Asks no more.
  mutating func rest() { phase = .idle }

  mutating func advance(now: Instant, into actions: inout [PortMappingAction]) {
    switch phase {
    case .idle: break
    case .asking(var retry):
      guard now >= retry.due else { return }
      retry.sent(now: now, nextAfter: pause(after: retry.attempt + 1))
      phase = .asking(retry)
      send(lifetime: lifetime, into: &actions)
    case .removing(var retry):
      guard now >= retry.due else { return }
      guard retry.attempt < 2 else {
        phase = .idle
        return
      }
      retry.sent(now: now, nextAfter: Self.removalPause)
      phase = .removing(retry)
      send(lifetime: 0, into: &actions)
    }
  }

  /// Takes what came from the gateway's PCP port. `nil`: nothing that was asked for.
  mutating func receive(_ bytes: ArraySlice<UInt8>, now: Instant) -> [ClientEvent]? {
    if PCP.refusesVersion(bytes) {
      guard case .asking = phase else { return nil }
      phase = .idle
      mayHoldMapping = false
      return [.absent]
    }
    guard let response = try? PCP.response(bytes) else { return nil }
    guard let map = response.map else {
      guard awaitsAnnouncement else { return nil }
      awaitsAnnouncement = false
      guard response.result == .success else { return [] }
      return epoch.observe(response.epoch, now: now) ? [] : [.restarted]
    }
    guard map.nonce == context.nonce, map.protocol == PCP.udp, map.internalPort == context.port else {
      return nil
    }
    switch phase {
    case .idle: return nil
    case .removing:
      // Else it is the late answer to the request before.
      guard response.result != .success || response.lifetime == 0 else { return [.speaks] }
      phase = .idle
      return [.speaks, .removed]
    case .asking: return answer(response, map, now: now)
    }
  }

  private mutating func answer(
    _ response: PCP.Response, _ map: PCP.MapAnswer, now: Instant
  ) -> [ClientEvent]? {
    // A mapping that is granted now is of this life of the server, whatever became of the one before.
    _ = epoch.observe(response.epoch, now: now)
    switch response.result {
    case .success:
      guard response.lifetime > 0, map.external.port != 0 else { return nil }
      phase = .idle
      return [.speaks, .granted(map.external, seconds: response.lifetime)]
    case .unsupportedVersion, .unsupportedOpcode:
      phase = .idle
      mayHoldMapping = false
      return [.absent]
    case let result:
      phase = .idle
      mayHoldMapping = false
      return [.refused(MappingRefusal(by: .pcp, code: result.code))]
    }
  }

  private func send(lifetime: UInt32, into actions: inout [PortMappingAction]) {
    let request = PCP.MapRequest(
      client: context.local, nonce: context.nonce, internalPort: context.port,
      suggestedPort: suggestion?.port ?? (lifetime == 0 ? 0 : context.port),
      suggestedAddress: suggestion?.address, lifetime: lifetime)
    actions.append(.send(request.encoded, to: server))
  }

  private static let removalPause: Duration = .milliseconds(500)

  /// RFC 6887 §8.1.1: 3 s, doubled up to 1,024 s, each a tenth longer or shorter by chance.
  private func pause(after attempt: Int) -> Duration {
    let whole = Duration.seconds(min(3 << min(attempt, 9), 1_024))
    return whole * (9_000 + Int(context.nonce.draw(attempt) % 2_001)) / 10_000
  }
}
