public import MeshCrypto
public import MeshPaths
import MeshSession
public import MeshWire

extension MeshNode {
  /// The servers that tell where this node's packets come from, at most ``NATDetection/serverLimit``. Others
  /// than before are asked soon.
  public mutating func setSTUNServers(_ servers: [Endpoint], now: Instant) {
    guard servers != stun.servers else { return }
    stun.servers = servers
    stun.nextRun = servers.isEmpty ? nil : now + NodeSTUN.settlingTime
  }

  /// The router's own outer address, as port mapping has found it, or `nil`: what a server sees instead tells
  /// whether another NAT is before the router. Holds for the detection under way and the last one, too.
  public mutating func setRouterAddress(_ address: IPAddress?) {
    stun.routerAddress = address
    stun.detection.learn(routerAddress: address)
  }

  /// Begins a detection from the node's own socket, whose end is `.natDetected`. `false`: one is under way
  /// already, and its end will be told.
  ///
  /// - Parameter asking: other servers than those of ``setSTUNServers(_:now:)``, for this once.
  @discardableResult
  public mutating func detectNAT(asking: [Endpoint]? = nil, now: Instant) -> Bool {
    guard !stun.detection.isRunning else { return false }
    var question = NATDetection.Question(
      servers: asking ?? stun.servers,
      localAddresses: addresses.announced.filter { $0.kind == .interface }.map(\.endpoint.address),
      localPort: configuration.localPort, routerAddress: stun.routerAddress,
      permitsLoopback: configuration.permitsLoopback)
    if asking == nil { question.publicNodes = relays.probes.answering }
    stun.couldAskNodes = !question.publicNodes.isEmpty
    stun.detection.start(question, random: random.bytes(NATDetection.randomSize), now: now)
    stun.runs += 1
    if stun.nextRun != nil { stun.nextRun = now + NodeSTUN.interval }
    advanceDetection(to: now)
    return true
  }

  /// How far the detection is that was begun last.
  public func detectionProgress(now: Instant) -> DetectionProgress {
    DetectionProgress(
      runs: stun.runs, isRunning: stun.detection.isRunning, findings: stun.detection.current(now: now))
  }

  /// The first public nodes are known since the last detection, which could have done with them.
  mutating func askPublicNodes(now: Instant) {
    guard !stun.couldAskNodes, !stun.detection.isRunning, let findings = stun.detection.findings,
      [findings.v4, findings.v6].compactMap(\.self).contains(where: { $0.mapping == .unknown })
    else { return }
    detectAgainSoon(now: now)
  }

  /// This machine is, perhaps, elsewhere now.
  mutating func detectAgainSoon(now: Instant) {
    guard stun.nextRun != nil else { return }
    stun.nextRun = now + NodeSTUN.settlingTime
  }

  mutating func advanceDetection(to now: Instant) {
    if let due = stun.nextRun, due <= now, !detectNAT(now: now) { stun.nextRun = now + NodeSTUN.settlingTime }
    guard let due = stun.detection.nextDeadline, due <= now else { return }
    var sends: [STUNSend] = []
    let findings = stun.detection.advance(to: now, into: &sends)
    finishDetection(findings, sends, now: now)
  }

  /// A STUN request, or an indication: our own that a NAT has turned round, or someone who asks where it is.
  mutating func receiveSTUNRequest(_ bytes: [UInt8], from source: Endpoint, now: Instant) -> Received {
    guard source.carrier == .udp else { return drop(.stunRefused) }
    if takeSTUN(bytes, from: source, now: now) { return .consumed }
    guard configuration.serviceType != .lightPrivate else { return drop(.stunRefused) }
    // A source can be made up: of the overlay, the answer would go to a peer as if from our own device.
    guard mayAnswer(source) else { return drop(.sourceRefused) }
    guard let answer = stun.responder.answer(bytes, from: source, now: now) else {
      return drop(.stunRefused)
    }
    emit(.send(answer.bytes, to: source))
    return .consumed
  }

  mutating func receiveSTUNAnswer(_ bytes: [UInt8], from source: Endpoint, now: Instant) -> Received {
    guard source.carrier == .udp,
      takeProbe(bytes, from: source, now: now) || takeSTUN(bytes, from: source, now: now)
    else {
      return drop(.stunUnexpected)
    }
    return .consumed
  }

  private mutating func takeSTUN(_ bytes: [UInt8], from source: Endpoint, now: Instant) -> Bool {
    guard stun.detection.isRunning else { return false }
    var sends: [STUNSend] = []
    switch stun.detection.receive(bytes, from: source, now: now, into: &sends) {
    case .notOurs: return false
    case .taken: finishDetection(nil, sends, now: now)
    case .finished(let findings): finishDetection(findings, sends, now: now)
    }
    return true
  }

  private mutating func finishDetection(_ findings: NATFindings?, _ sends: [STUNSend], now: Instant) {
    for send in sends { emit(.send(send.bytes, to: send.to)) }
    guard let findings else { return }
    for endpoint in findings.reflexiveEndpoints { addressObserved(endpoint, now: now) }
    adaptKeepalive(to: findings)
    let asked = (findings.v4?.asked ?? 0) + (findings.v6?.asked ?? 0)
    if asked > 0 { udpFound(isBlocked: !findings.hasUDP, now: now) }
    emit(.natDetected(findings))
  }
}

extension MeshNode {
  /// Where nothing forgets us, keepalives may be rarer. The other end keeps its own NAT's mapping by itself.
  mutating func adaptKeepalive(to findings: NATFindings) {
    // A session may move from one family to the other at any time.
    let families = [findings.v4, findings.v6].compactMap(\.self).filter(\.isReachable)
    let isOpen = !families.isEmpty && families.allSatisfy { $0.behaviour == (.open, .open) }
    keepalive = isOpen ? Session.longestKeepalive : Session.usualKeepalive
    for slot in neighbours.entries.indices { neighbours.entries[slot].current?.session.keepalive = keepalive }
  }
}

extension NATFindings {
  /// What a record says of the NAT: that of IPv4, where there is IPv4.
  public var announced: (mapping: NATBehaviour, filtering: NATBehaviour) {
    guard let family = v4?.isReachable == true ? v4 : v6 else { return (.unknown, .unknown) }
    return family.behaviour
  }
}

extension FamilyFindings {
  /// As ``PeerRecord`` has it.
  fileprivate var behaviour: (mapping: NATBehaviour, filtering: NATBehaviour) {
    (NATBehaviour(mapping), NATBehaviour(filtering, behind: mapping))
  }
}

extension NATBehaviour {
  /// As ``PeerRecord`` has it.
  public init(_ mapping: NATMapping) {
    self =
      switch mapping {
      case .unknown: .unknown
      case .none: .open
      case .endpointIndependent: .endpointIndependent
      case .addressDependent: .addressDependent
      case .addressAndPortDependent: .addressAndPortDependent
      }
  }

  /// Neither a NAT nor a filter is ``open``.
  public init(_ filtering: NATFiltering, behind mapping: NATMapping) {
    self =
      switch filtering {
      case .unknown: .unknown
      case .endpointIndependent: mapping == .none ? .open : .endpointIndependent
      case .addressDependent: .addressDependent
      case .addressAndPortDependent: .addressAndPortDependent
      }
  }
}
