public import MeshWire

extension PortMapping {
  /// Does what is due.
  public mutating func advance(now: Instant, into actions: inout [PortMappingAction]) {
    if case .stopped = phase { return }
    advanceClients(now: now, into: &actions)
    if awaitsSilence, now >= began + Self.silence { endSilence() }
    settle()
    switch phase {
    case .idle, .stopped: break
    case .asking:
      choose(now: now, into: &actions)
      if case .asking = phase, now >= began + Self.asking {
        setObstacle()
        rest(now: now)
      }
    case .held(let held): advance(held, now: now, into: &actions)
    case .resting(let until):
      if now >= until { begin(now: now, into: &actions) }
    case .removing(let until):
      if now >= until { finish(into: &actions) }
    }
    lastTurn = now
  }

  private mutating func advanceClients(now: Instant, into actions: inout [PortMappingAction]) {
    guard var clients else { return }
    clients.pcp.advance(now: now, into: &actions)
    let natPMP = clients.natPMP.advance(now: now, into: &actions)
    let upnp = clients.upnp.advance(now: now, into: &actions)
    self.clients = clients
    take(natPMP, by: .natPMP, now: now, into: &actions)
    take(upnp, by: .upnp, now: now, into: &actions)
  }

  private mutating func advance(_ held: Held, now: Instant, into actions: inout [PortMappingAction]) {
    var held = held
    if now >= held.expires {
      lose(held.isRestarted ? .routerRestarted : .expired, into: &actions)
      findings.obstacle = held.isRestarted ? .routerRestarted : .expired
      return begin(now: now, into: &actions)
    }
    if now >= held.renews {
      // If nothing comes of it: again, at the half of what is left (RFC 6887 §11.2.1).
      held.renews = now + max((held.expires - now) / 2, Self.shortestLife / 2)
      phase = .held(held)
      return renew(held.mapped, now: now, into: &actions)
    }
    if let watches = held.watches, now >= watches {
      held.watches = now + Self.watch
      switch held.mapped.by {
      case .pcp: clients?.pcp.watch(into: &actions)
      case .natPMP: clients?.natPMP.watch(into: &actions)
      case .upnp: break
      }
      phase = .held(held)
    }
  }

  /// Asks all three.
  mutating func begin(now: Instant, into actions: inout [PortMappingAction]) {
    guard var clients else { return }
    phase = .asking
    began = now
    lastTurn = now
    awaitsSilence = true
    for by in MappingProtocol.allCases { findings[by] = .asking }
    clients.pcp.ask(suggesting: nil, now: now, into: &actions)
    clients.natPMP.probe(now: now, into: &actions)
    clients.upnp.search(now: now, into: &actions)
    self.clients = clients
  }

  private mutating func endSilence() {
    awaitsSilence = false
    for by in MappingProtocol.allCases where findings[by] == .asking { findings[by] = .silent }
    switch phase {
    case .held(let held):
      // Whether the others are there was all that was still of interest.
      for by in MappingProtocol.allCases where by != held.mapped.by { restClient(by) }
    case .resting: for by in MappingProtocol.allCases { restClient(by) }
    default: break
    }
  }

  /// Once no protocol is left that may yet bring something, the reason is told; it is asked on all the same.
  mutating func settle() {
    guard case .asking = phase, !awaitsSilence, findings.obstacle == nil,
      !MappingProtocol.allCases.contains(where: { findings[$0] == .answers })
    else { return }
    setObstacle()
  }

  private mutating func restClient(_ by: MappingProtocol) {
    switch by {
    case .pcp: clients?.pcp.rest()
    case .natPMP: clients?.natPMP.rest()
    case .upnp: clients?.upnp.rest()
    }
  }

  /// The most telling reason: no outer address, else the refusal of the best protocol that refused.
  private mutating func setObstacle() {
    let addressless: [PortMappingFindings.Support] = [
      .refuses(MappingRefusal(by: .pcp, code: PCPResult.networkFailure.code)),
      .refuses(MappingRefusal(by: .natPMP, code: NATPMPResult.networkFailure.code)),
      .refuses(MappingRefusal(by: .upnp, code: UPnPFault.noAddress)),
    ]
    if MappingProtocol.allCases.contains(where: { addressless.contains(findings[$0]) }) {
      findings.obstacle = .noOuterAddress
      return
    }
    for by in MappingProtocol.allCases {
      if case .refuses(let refusal) = findings[by] {
        findings.obstacle = .refused(refusal)
        return
      }
    }
    findings.obstacle = .noAnswer
  }

  mutating func rest(now: Instant) {
    if !awaitsSilence { for by in MappingProtocol.allCases { restClient(by) } }
    phase = .resting(until: now + Self.pause)
  }

  /// Lets the best protocol that has answered ask for the mapping, when it is its turn.
  mutating func choose(now: Instant, into actions: inout [PortMappingAction]) {
    guard case .asking = phase, var clients else { return }
    defer { self.clients = clients }
    let waited = now - began
    guard hasFailed(.pcp) || waited >= Self.preference else { return }
    if clients.natPMP.isReady { return clients.natPMP.map(now: now, into: &actions) }
    let patience = Self.preference * (clients.natPMP.isAskingForMapping ? 4 : 2)
    guard hasFailed(.natPMP) || waited >= patience else { return }
    if clients.upnp.isLocated { return clients.upnp.map(now: now, into: &actions) }
    if MappingProtocol.allCases.allSatisfy(hasFailed) {
      setObstacle()
      rest(now: now)
    }
  }

  private func hasFailed(_ by: MappingProtocol) -> Bool {
    switch findings[by] {
    case .absent, .refuses: true
    case .unasked, .asking, .answers, .silent: false
    }
  }

  mutating func take(
    _ events: [ClientEvent], by: MappingProtocol, now: Instant, into actions: inout [PortMappingAction]
  ) {
    for event in events {
      switch event {
      case .speaks: findings[by] = .answers
      case .absent: fail(by, .absent, now: now, into: &actions)
      case .refused(let refusal): fail(by, .refuses(refusal), now: now, into: &actions)
      case .unreachable: takeSilence(of: by, now: now)
      case .outer(let address): take(outer: address, by: by, now: now, into: &actions)
      case .granted(let endpoint, let seconds):
        take(granted: endpoint, seconds: seconds, by: by, now: now, into: &actions)
      case .restarted: takeRestart(by, now: now, into: &actions)
      case .removed: if case .removing = phase { finish(into: &actions) }
      }
    }
  }

  private mutating func fail(
    _ by: MappingProtocol, _ support: PortMappingFindings.Support, now: Instant,
    into actions: inout [PortMappingAction]
  ) {
    findings[by] = support
    guard case .held(let held) = phase, held.mapped.by == by else { return }
    let obstacle: PortMappingFindings.Obstacle =
      if case .refuses(let refusal) = support { .refused(refusal) } else { .noAnswer }
    lose(obstacle, into: &actions)
    findings.obstacle = obstacle
    begin(now: now, into: &actions)
  }

  private mutating func takeSilence(of by: MappingProtocol, now: Instant) {
    if case .held(var held) = phase, held.mapped.by == by {
      held.renews = min(held.renews, now + Self.shortestLife)
      // A device that has started anew may be at another port: it is searched for soon.
      if by == .upnp { held.expires = min(held.expires, now + Self.restartGrace) }
      phase = .held(held)
      return
    }
    // A device that was found, and then did not answer over HTTP.
    if findings[by] == .answers { findings[by] = .refuses(MappingRefusal(by: by, code: 0)) }
    if findings[by] == .asking { findings[by] = .silent }
  }

  private mutating func take(
    outer address: IPAddress, by: MappingProtocol, now: Instant, into actions: inout [PortMappingAction]
  ) {
    switch phase {
    case .held(let held) where held.mapped.by == by:
      guard OuterAddress.isPublic(address) else {
        lose(.notPublic(address), into: &actions)
        return refuse(address, by: by, now: now, into: &actions)
      }
      if held.mapped.endpoint.address != address { renew(held.mapped, now: now, into: &actions) }
    case .asking:
      if !OuterAddress.isPublic(address) { refuse(address, by: by, now: now, into: &actions) }
    default: break
    }
  }

  /// The router has no address that others could send to.
  private mutating func refuse(
    _ address: IPAddress, by: MappingProtocol, now: Instant, into actions: inout [PortMappingAction]
  ) {
    findings.obstacle = .notPublic(address)
    rest(now: now)
    guard var clients else { return }
    if by == .pcp || clients.pcp.mayHoldMapping { clients.pcp.remove(now: now, into: &actions) }
    self.clients = clients
  }

  private mutating func take(
    granted endpoint: Endpoint, seconds: UInt32, by: MappingProtocol, now: Instant,
    into actions: inout [PortMappingAction]
  ) {
    switch phase {
    case .asking: break
    case .held(let held) where held.mapped.by == by: break
    default: return
    }
    guard OuterAddress.isPublic(endpoint.address), endpoint.isDialable else {
      lose(.notPublic(endpoint.address), into: &actions)
      return refuse(endpoint.address, by: by, now: now, into: &actions)
    }
    let life =
      seconds == 0
      ? Self.endlessLife : min(max(.seconds(seconds), Self.shortestLife), Self.longestLife)
    let mapped = MappedPort(
      endpoint: endpoint, lifetime: seconds == 0 ? nil : .seconds(seconds), by: by)
    phase = .held(
      Held(
        mapped: mapped, expires: now + life, renews: now + life / 2,
        watches: by == .upnp ? nil : now + Self.watch))
    let isNew = findings.mapped?.endpoint != endpoint
    findings.mapped = mapped
    findings.obstacle = nil
    if isNew { actions.append(.mapped(mapped)) }
  }

  private mutating func takeRestart(
    _ by: MappingProtocol, now: Instant, into actions: inout [PortMappingAction]
  ) {
    guard case .held(var held) = phase, held.mapped.by == by else { return }
    held.isRestarted = true
    held.expires = min(held.expires, now + Self.restartGrace)
    held.renews = now + Self.shortestLife
    phase = .held(held)
    renew(held.mapped, now: now, into: &actions)
  }

  private mutating func renew(
    _ mapped: MappedPort, now: Instant, into actions: inout [PortMappingAction]
  ) {
    switch mapped.by {
    case .pcp: clients?.pcp.ask(suggesting: mapped.endpoint, now: now, into: &actions)
    case .natPMP: clients?.natPMP.renew(mapped.endpoint, now: now, into: &actions)
    case .upnp: clients?.upnp.renew(now: now, into: &actions)
    }
  }

  /// Whether an answer is to be waited for.
  func remove(
    _ by: MappingProtocol, _ clients: inout Clients, now: Instant, into actions: inout [PortMappingAction]
  ) -> Bool {
    switch by {
    case .pcp: clients.pcp.remove(now: now, into: &actions)
    case .natPMP: clients.natPMP.remove(now: now, into: &actions)
    case .upnp: return clients.upnp.remove(now: now, into: &actions)
    }
    return true
  }

  mutating func lose(_ obstacle: PortMappingFindings.Obstacle, into actions: inout [PortMappingAction]) {
    guard findings.mapped != nil else { return }
    findings.mapped = nil
    actions.append(.lost(obstacle))
  }

  mutating func finish(into actions: inout [PortMappingAction]) {
    phase = .stopped
    actions.append(.finished)
  }
}
