public import MeshWire

/// Keeps one port of the router's outer address leading to this node's UDP port: by PCP (RFC 6887), else
/// NAT-PMP (RFC 6886), else UPnP.
///
/// All three are asked at once, the latter two only whether they are there; a better one gets ``preference``
/// to answer before the next is used. What is granted is renewed at half of its life, and asked for anew when
/// the router's epoch says that it has started again. Only the gateway is heard: its own address and port,
/// this request's nonce or number, HTTP to its own address.
///
/// None of the three is authenticated: who controls the local network can lie about the mapping. The endpoint
/// is a candidate like any other, no more: what goes there is encrypted, and goes on only if the peer
/// answers.
public struct PortMapping: Sendable {
  /// After which a protocol counts as silent.
  public static let silence: Duration = .seconds(3)
  /// How long a better protocol is waited for.
  public static let preference: Duration = .seconds(1)
  /// How long the gateway is asked before it is left alone, RFC 6886 §3.1: nine requests.
  static let asking: Duration = .seconds(128)
  /// How long it is left alone then. A new address or gateway is asked at once.
  public static let pause: Duration = .seconds(1_200)
  /// Between two looks at the router's epoch.
  public static let watch: Duration = .seconds(60)
  /// What is asked for by PCP and NAT-PMP, in seconds (RFC 6886 §3.3).
  public static let lifetime: UInt32 = 7_200
  /// A shorter life is not believed, so that no router has us renew or announce in a frenzy.
  static let shortestLife: Duration = .seconds(8)
  /// RFC 6887 §11.2.1: a longer life is not believed.
  static let longestLife: Duration = .seconds(86_400)
  /// A mapping without an end is renewed at half of this.
  static let endlessLife: Duration = .seconds(1_200)
  /// How long a router that has started anew may take to grant again.
  static let restartGrace: Duration = .seconds(30)
  /// How long a removal may take.
  public static let removal: Duration = .seconds(2)

  struct Held {
    var mapped: MappedPort
    var expires: Instant
    var renews: Instant
    var watches: Instant?
    var isRestarted = false
  }

  enum Phase {
    /// Nobody to ask, or no need.
    case idle
    case asking
    case held(Held)
    case resting(until: Instant)
    case removing(until: Instant)
    case stopped
  }

  let port: UInt16
  let nonce: MappingNonce
  var route: GatewayRoute?
  var phase = Phase.idle
  /// When the questions under way began.
  var began = Instant(nanoseconds: 0)
  /// When it was last looked whose turn it is.
  var lastTurn = Instant(nanoseconds: 0)
  var awaitsSilence = false
  var clients: Clients?

  struct Clients {
    var pcp: PCPClient
    var natPMP: NATPMPClient
    var upnp: UPnPClient
  }

  /// What has been found out so far.
  public internal(set) var findings = PortMappingFindings()

  /// - Parameters:
  ///   - port: the UDP port of this node, not 0.
  ///   - nonce: secret, and the same for as long as the router shall know its mapping again.
  public init(port: UInt16, nonce: MappingNonce) {
    self.port = port
    self.nonce = nonce
  }

  /// The default route of IPv4 as it is now; `nil` where there is none. To be told at the start, and at every
  /// change.
  public mutating func use(_ new: GatewayRoute?, now: Instant, into actions: inout [PortMappingAction]) {
    if case .removing = phase { return }
    if case .stopped = phase { return }
    guard new != route || (new == nil && findings.obstacle == nil) else { return }
    route = new
    // The old gateway is out of reach, or knows us by another address: its mapping runs out.
    lose(.noGateway, into: &actions)
    let dropped = findings.dropped
    findings = PortMappingFindings()
    findings.dropped = dropped
    let lastNumber = clients?.upnp.lastNumber ?? 0
    clients = nil
    awaitsSilence = false
    phase = .idle
    guard let new, new.isUsable else {
      findings.obstacle = .noGateway
      return
    }
    findings.gateway = new.gateway
    guard OuterAddress.isBehindNAT(new.local) else {
      findings.obstacle = .notNeeded
      return
    }
    let context = MappingContext(gateway: new.gateway, local: new.local, port: port, nonce: nonce)
    clients = Clients(
      pcp: PCPClient(context, lifetime: Self.lifetime),
      natPMP: NATPMPClient(context, lifetime: Self.lifetime),
      upnp: UPnPClient(context, after: lastNumber))
    begin(now: now, into: &actions)
  }

  /// Takes a datagram from the socket that sends ours. What isn't the gateway's is dropped.
  public mutating func receive(
    _ bytes: ArraySlice<UInt8>, from source: Endpoint, now: Instant, into actions: inout [PortMappingAction]
  ) {
    guard let route, source.address == route.gateway,
      let (by, events) = events(in: bytes, from: source.port, now: now, into: &actions)
    else {
      findings.dropped += 1
      return
    }
    take(events, by: by, now: now, into: &actions)
    settle()
    choose(now: now, into: &actions)
  }

  /// Hands a datagram of the gateway's to whom it is for; `nil` when nobody has asked for it.
  private mutating func events(
    in bytes: ArraySlice<UInt8>, from port: UInt16, now: Instant, into actions: inout [PortMappingAction]
  ) -> (MappingProtocol, [ClientEvent])? {
    guard port == PCP.serverPort else { return clients?.upnp.receive(bytes).map { (.upnp, $0) } }
    // Version 2 is PCP; version 0 is NAT-PMP, unless it says that PCP is unknown there.
    if let events = clients?.pcp.receive(bytes, now: now) { return (.pcp, events) }
    if let events = clients?.natPMP.receive(bytes, now: now, into: &actions) { return (.natPMP, events) }
    guard Self.refusesNATPMP(bytes) else { return nil }
    return clients?.natPMP.giveUp().map { (.natPMP, $0) }
  }

  /// Takes what came of a ``GatewayRequest``.
  public mutating func receive(
    _ answer: GatewayAnswer, to number: UInt32, now: Instant, into actions: inout [PortMappingAction]
  ) {
    guard let events = clients?.upnp.receive(answer, to: number, now: now, into: &actions) else {
      findings.dropped += 1
      return
    }
    take(events, by: .upnp, now: now, into: &actions)
    settle()
    choose(now: now, into: &actions)
  }

  /// The node ends: removes the mapping. ``PortMappingAction/finished`` comes within ``removal``.
  public mutating func stop(now: Instant, into actions: inout [PortMappingAction]) {
    if case .removing = phase { return }
    if case .stopped = phase { return }
    guard var clients else { return finish(into: &actions) }
    var waits = false
    if case .held(let held) = phase {
      lose(.stopped, into: &actions)
      waits = remove(held.mapped.by, &clients, now: now, into: &actions)
    }
    // A request that nobody has answered may have been heard all the same.
    if clients.pcp.mayHoldMapping { clients.pcp.remove(now: now, into: &actions) }
    if clients.natPMP.isAskingForMapping { clients.natPMP.remove(now: now, into: &actions) }
    if clients.upnp.isAdding { waits = clients.upnp.remove(now: now, into: &actions) || waits }
    self.clients = clients
    findings.obstacle = .stopped
    guard waits else { return finish(into: &actions) }
    phase = .removing(until: now + Self.removal)
  }

  /// When ``advance(now:into:)`` is due; `nil` for never.
  public var nextDeadline: Instant? {
    let own: Instant? =
      switch phase {
      case .idle, .stopped: nil
      case .asking: began + Self.asking
      case .held(let held): [held.expires, held.renews, held.watches].compactMap { $0 }.min()
      case .resting(let until), .removing(let until): until
      }
    var deadlines = [own].compactMap { $0 }
    if case .stopped = phase { return nil }
    if let clients {
      deadlines += [clients.pcp.deadline, clients.natPMP.deadline, clients.upnp.deadline].compactMap { $0 }
    }
    if awaitsSilence { deadlines.append(began + Self.silence) }
    if case .asking = phase {
      // The moments at which the next protocol's turn comes.
      deadlines += turns.filter { $0 > lastTurn }
    }
    return deadlines.min()
  }

  private var turns: [Instant] { (1...4).map { began + Self.preference * $0 } }

  private static func refusesNATPMP(_ bytes: ArraySlice<UInt8>) -> Bool {
    // A server of PCP alone answers version 0 with its own version (RFC 6887 §9).
    let head = Array(bytes.prefix(4))
    return head.count == 4 && head[0] == PCP.version && head[1] & 0x80 != 0
      && PCPResult(code: Int(head[3])) == .unsupportedVersion
  }
}

/// Where packets to the internet go.
public struct GatewayRoute: Hashable, Sendable {
  public let gateway: IPAddress
  /// This machine's own address that such packets come from.
  public let local: IPAddress

  public init(gateway: IPAddress, local: IPAddress) {
    self.gateway = gateway
    self.local = local
  }

  var isUsable: Bool {
    guard case .v4 = gateway, case .v4 = local else { return false }
    return [gateway, local].allSatisfy { !$0.isUnspecified && !$0.isLoopback && !$0.isMulticast }
      && gateway != local
  }
}

/// What the shell is to do.
public enum PortMappingAction: Hashable, Sendable {
  /// A datagram from the mapping's own socket, bound to the route's local address.
  case send([UInt8], to: Endpoint)
  /// An HTTP request; its answer, or that none came, goes back in.
  case request(GatewayRequest)
  /// This endpoint leads here now, in place of any before.
  case mapped(MappedPort)
  /// No endpoint leads here any more.
  case lost(PortMappingFindings.Obstacle)
  /// The end of ``PortMapping/stop(now:into:)``.
  case finished
}
