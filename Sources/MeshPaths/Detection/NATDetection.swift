public import MeshWire

/// A STUN datagram to be sent from the node's one UDP socket.
public struct STUNSend: Sendable, Hashable {
  public let bytes: [UInt8]
  public let to: Endpoint
}

/// What became of a STUN datagram.
public enum STUNReception: Sendable, Hashable {
  /// It belongs to no test under way.
  case notOurs
  case taken
  /// It was the last one that was waited for.
  case finished(NATFindings)
}

/// Finds out what NATs do to the packets of one UDP socket (RFC 5780 §4.3 and §4.4), for IPv4 and IPv6 at
/// once, and how far each server is. Never more than ``limit``.
///
/// It lives as long as the socket, because what a run sends opens filters that the next run must not take for
/// absent: a run that begins within ``quietTime`` of another keeps that one's filtering.
public struct NATDetection: Sendable {
  /// The longest run.
  public static let limit: Duration = .seconds(5)
  /// Servers that a run asks; those after are left out.
  public static let serverLimit = 16
  /// Public nodes that a run asks where servers don't tell enough: two that agree are believed, and one that
  /// is down, or lies, shall not keep them from it.
  public static let nodeLimit = 4
  /// Random bytes that a run takes.
  public static let randomSize =
    STUNTransaction.size * (serverLimit + nodeLimit + 2 * FamilyDetection.testCount)
  /// How long a filter may stay open for an address after the last packet to it: RFC 4787 §4.3 wants two
  /// minutes and recommends five.
  public static let quietTime: Duration = .seconds(300)

  /// What a run is about.
  public struct Question: Sendable {
    public var servers: [Endpoint]
    /// Public nodes, which answer STUN too, and are believed only as far as they agree.
    public var publicNodes: [Endpoint] = []
    /// Of this machine's interfaces. One that a server sees is one that nobody translates.
    public var localAddresses: [IPAddress]
    /// Of the socket; 0: not known.
    public var localPort: UInt16
    /// The router's outer address, where it told (PCP, NAT-PMP, UPnP).
    public var routerAddress: IPAddress?
    /// Loopback is a network like any other: for tests.
    public var permitsLoopback: Bool

    public init(
      servers: [Endpoint], localAddresses: [IPAddress], localPort: UInt16, routerAddress: IPAddress? = nil,
      permitsLoopback: Bool = false
    ) {
      self.servers = servers
      self.localAddresses = localAddresses
      self.localPort = localPort
      self.routerAddress = routerAddress
      self.permitsLoopback = permitsLoopback
    }

    /// Whether we may be told to send there.
    func permits(_ endpoint: Endpoint) -> Bool {
      endpoint.isDialable || (permitsLoopback && endpoint.address.isLoopback && endpoint.port != 0)
    }

    /// Whether this machine has an address of the family that reaches beyond its own links.
    func has(isV4: Bool) -> Bool {
      localAddresses.contains { $0.isV4 == isV4 && !$0.isLinkLocal && (permitsLoopback || !$0.isLoopback) }
    }

    func isOwn(_ endpoint: Endpoint) -> Bool {
      endpoint.port == localPort && localAddresses.contains(endpoint.address)
    }
  }

  private struct Run {
    let startedAt: Instant
    let servers: [Endpoint]
    var v4: FamilyDetection?
    var v6: FamilyDetection?

    var isDone: Bool { v4?.isDone != false && v6?.isDone != false }
  }

  private var run: Run?
  /// Of the run under way, or the last one.
  private var question: Question?
  /// Other addresses of servers, and when a mapping test sent to them. Never more than two a run.
  private var touched: [(address: IPAddress, at: Instant)] = []
  /// What the last run found.
  public private(set) var findings: NATFindings?

  public init() {}

  public var isRunning: Bool { run != nil }

  /// Begins a run, whose first datagrams come out of ``advance(to:into:)``; one that is under way goes on,
  /// and `false` comes back.
  ///
  /// - Parameter random: ``randomSize`` bytes of it, at least.
  @discardableResult
  public mutating func start(_ question: Question, random: [UInt8], now: Instant) -> Bool {
    guard run == nil else { return false }
    precondition(random.count >= Self.randomSize, "a run takes \(Self.randomSize) random bytes")
    var seen: Set<Endpoint> = []
    let servers = Array(
      question.servers.filter { question.permits($0) && seen.insert($0).inserted }.prefix(Self.serverLimit))
    let nodes = Array(
      question.publicNodes.filter { question.permits($0) && seen.insert($0).inserted }.prefix(Self.nodeLimit))
    var transactions = stride(from: 0, to: Self.randomSize, by: STUNTransaction.size)
      .compactMap { STUNTransaction(random[$0..<$0 + STUNTransaction.size]) }[...]
    touched.removeAll { now - $0.at > Self.quietTime }
    var run = Run(startedAt: now, servers: servers)
    for isV4 in [true, false] {
      let ofFamily = servers.filter { $0.address.isV4 == isV4 }
      let nodesOfFamily = question.has(isV4: isV4) ? nodes.filter { $0.address.isV4 == isV4 } : []
      guard !ofFamily.isEmpty || !nodesOfFamily.isEmpty else { continue }
      let count = ofFamily.count + nodesOfFamily.count + FamilyDetection.testCount
      let detection = FamilyDetection(
        servers: ofFamily, nodes: nodesOfFamily, question: question,
        earlier: EarlierRun(touched: touched.map(\.address), last: isV4 ? findings?.v4 : findings?.v6),
        transactions: Array(transactions.prefix(count)), now: now)
      transactions = transactions.dropFirst(count)
      if isV4 { run.v4 = detection } else { run.v6 = detection }
    }
    self.run = run
    self.question = question
    return true
  }

  /// Tells the router's outer address, which port mapping may find out during a run, or after its end: it is
  /// held against what servers see, at once. `nil`: the router doesn't tell it any more.
  public mutating func learn(routerAddress: IPAddress?) {
    question?.routerAddress = routerAddress
    run?.v4?.question.routerAddress = routerAddress
    guard let question, let reflexive = findings?.v4?.reflexive else { return }
    // With a run under way these are an earlier one's, which asked from where this machine was then.
    if run == nil { findings?.v4?.isCarrierGrade = question.isCarrierGrade(reflexive) }
  }

  /// Takes a STUN datagram that came to the socket.
  public mutating func receive(
    _ bytes: [UInt8], from source: Endpoint, now: Instant, into sends: inout [STUNSend]
  ) -> STUNReception {
    guard run != nil, let message = try? STUNMessage(decoding: bytes), message.method == STUNMessage.binding
    else { return .notOurs }
    let isOurs =
      source.address.isV4
      ? run?.v4?.take(message, from: source, now: now, into: &sends)
      : run?.v6?.take(message, from: source, now: now, into: &sends)
    guard isOurs == true else { return .notOurs }
    return finish(now: now).map { .finished($0) } ?? .taken
  }

  /// Sends what is due. What comes back is what the run has found, when this was its end.
  public mutating func advance(to now: Instant, into sends: inout [STUNSend]) -> NATFindings? {
    guard let startedAt = run?.startedAt else { return nil }
    if now - startedAt >= Self.limit {
      run?.v4?.giveUp()
      run?.v6?.giveUp()
    } else {
      run?.v4?.advance(to: now, into: &sends)
      run?.v6?.advance(to: now, into: &sends)
    }
    return finish(now: now)
  }

  /// When ``advance(to:into:)`` is wanted; `nil` when nothing runs.
  public var nextDeadline: Instant? {
    guard let run else { return nil }
    guard !run.isDone else { return run.startedAt }
    let end = run.startedAt + Self.limit
    return [run.v4?.nextDeadline, run.v6?.nextDeadline, end].compactMap(\.self).min()
  }

  /// What the run under way knows already; without one, what the last one found.
  public func current(now: Instant) -> NATFindings? {
    guard let run else { return findings }
    var current = NATFindings()
    current.v4 = run.v4?.findings
    current.v6 = run.v6?.findings
    let probes = (run.v4?.probes ?? []) + (run.v6?.probes ?? [])
    current.roundTrips = run.servers.map { server in
      STUNRoundTrip(server: server, time: probes.first { $0.destination == server }?.roundTrip)
    }
    current.took = now - run.startedAt
    return current
  }

  private mutating func finish(now: Instant) -> NATFindings? {
    guard let run, run.isDone else { return nil }
    findings = current(now: now)
    for address in [run.v4?.touched, run.v6?.touched].compactMap(\.self) {
      touched.removeAll { $0.address == address }
      touched.append((address, now))
    }
    self.run = nil
    return findings
  }
}
