import MeshWire

/// The tests of RFC 5780 for one address family.
///
/// All servers are asked where they see us. With the first that answers and has another address and port, the
/// filter is tested (§4.4), and at the same time whether our own packets to ourselves come back; then the
/// mapping (§4.3), whose tests touch the server's other address and would open the filter. Where that left
/// the mapping open, or no server has told anything for a while, public nodes are asked what they see.
struct FamilyDetection: Sendable {
  private enum Stage {
    case asking
    case filtering
    case mapping
    case done
  }

  private var stage = Stage.asking
  private(set) var probes: [STUNProbe]
  private var server: TestServer?
  private var fromOther: STUNProbe?
  private var fromOtherPort: STUNProbe?
  private var hairpin: STUNProbe?
  private var toOther: STUNProbe?
  private var toOtherPort: STUNProbe?
  private var transactions: ArraySlice<STUNTransaction>
  private let nodes: [Endpoint]
  private var nodeProbes = PublicNodeProbes()
  private let startedAt: Instant
  var question: NATDetection.Question
  /// The filtering of the last run, where a test would only find what that run left open.
  private let earlier: EarlierRun
  /// The address that the mapping tests have sent to.
  private(set) var touched: IPAddress?

  /// A server that can answer from elsewhere.
  private struct TestServer {
    let primary: Endpoint
    let other: Endpoint
    /// Where it saw us.
    let mapped: Endpoint
    let roundTrip: Duration
  }

  /// - Parameters:
  ///   - nodes: public nodes, asked if servers don't tell enough.
  ///   - transactions: one for each server and each node, and ``testCount`` more.
  init(
    servers: [Endpoint], nodes: [Endpoint], question: NATDetection.Question, earlier: EarlierRun,
    transactions: [STUNTransaction], now: Instant
  ) {
    self.nodes = nodes
    self.question = question
    self.earlier = earlier
    startedAt = now
    probes = zip(servers, transactions).map { STUNProbe($1, to: $0, now: now) }
    self.transactions = transactions.dropFirst(servers.count)
  }

  static let testCount = 5
  /// How long servers have to say anything before public nodes are asked.
  static let serversFirst: Duration = .seconds(1)

  var isDone: Bool {
    guard case .done = stage, !probes.contains(where: \.isWaiting), hairpin?.isWaiting != true else {
      return false
    }
    return !nodeProbes.isWaiting || findings.mapping != .unknown
  }

  var nextDeadline: Instant? {
    var deadlines = probes.compactMap(\.nextDeadline)
    for probe in [fromOther, fromOtherPort, hairpin, toOther, toOtherPort] {
      if let deadline = probe?.nextDeadline { deadlines.append(deadline) }
    }
    deadlines += nodeProbes.nextDeadlines
    if case .asking = stage, !nodeProbes.isBegun, !nodes.isEmpty {
      deadlines.append(startedAt + Self.serversFirst)
    }
    return deadlines.min()
  }

  mutating func advance(to now: Instant, into sends: inout [STUNSend]) {
    for index in probes.indices { probes[index].advance(to: now, into: &sends) }
    fromOther?.advance(to: now, into: &sends)
    fromOtherPort?.advance(to: now, into: &sends)
    hairpin?.advance(to: now, into: &sends)
    toOther?.advance(to: now, into: &sends)
    toOtherPort?.advance(to: now, into: &sends)
    nodeProbes.advance(to: now, into: &sends)
    proceed(now: now, into: &sends)
  }

  /// Whether the message belongs to one of the tests.
  mutating func take(
    _ message: STUNMessage, from source: Endpoint, now: Instant, into sends: inout [STUNSend]
  ) -> Bool {
    switch message.messageClass {
    case .request:
      return hairpin?.takeEcho(message, now: now) ?? false
    case .indication: return false
    case .success, .failure: break
    }
    var isOurs = false
    for index in probes.indices where !isOurs {
      isOurs = probes[index].take(message, from: source, now: now)
    }
    if !isOurs { isOurs = fromOther?.take(message, from: source, now: now) ?? false }
    if !isOurs { isOurs = fromOtherPort?.take(message, from: source, now: now) ?? false }
    if !isOurs { isOurs = toOther?.take(message, from: source, now: now) ?? false }
    if !isOurs { isOurs = toOtherPort?.take(message, from: source, now: now) ?? false }
    if !isOurs { isOurs = nodeProbes.take(message, from: source, now: now) }
    guard isOurs else { return false }
    proceed(now: now, into: &sends)
    return true
  }

  /// Time is up: what has no answer yet gets none.
  mutating func giveUp() {
    for index in probes.indices { probes[index].giveUp() }
    fromOther?.giveUp()
    fromOtherPort?.giveUp()
    hairpin?.giveUp()
    toOther?.giveUp()
    toOtherPort?.giveUp()
    nodeProbes.giveUp()
    stage = .done
  }

  private mutating func proceed(now: Instant, into sends: inout [STUNSend]) {
    if case .asking = stage { chooseServer(now: now, into: &sends) }
    if case .filtering = stage, isFilterKnown { beginMapping(now: now, into: &sends) }
    if case .mapping = stage, toOther?.isWaiting != true, toOtherPort?.isWaiting != true { stage = .done }
    guard !nodes.isEmpty, !nodeProbes.isBegun, needsNodes(now: now) else { return }
    nodeProbes.begin(
      nodes, transactions: transactions.suffix(nodes.count), now: now, into: &sends)
  }

  /// Not while the filter is tested: a question opens it for whom it is sent to.
  private func needsNodes(now: Instant) -> Bool {
    switch stage {
    case .asking: now - startedAt >= Self.serversFirst
    case .filtering, .mapping: false
    case .done: findings.mapping == .unknown
    }
  }

  private mutating func chooseServer(now: Instant, into sends: inout [STUNSend]) {
    let able = probes.compactMap(testServer(_:))
    let isLast = !probes.contains(where: \.isWaiting)
    // One whose other address is quiet can tell more; the others are waited for only if there is none such
    // yet.
    let quiet = able.first { !earlier.mayHaveOpened(for: $0.other.address, at: $0.mapped) }
    guard let chosen = quiet ?? (isLast ? able.first : nil) else {
      if isLast { stage = .done }
      return
    }
    server = chosen
    if !question.isOwn(chosen.mapped) {
      hairpin = begin(
        to: chosen.mapped, schedule: .listening(roundTrip: chosen.roundTrip), now: now, into: &sends)
    }
    guard !earlier.mayHaveOpened(for: chosen.other.address, at: chosen.mapped) else {
      stage = .filtering
      return
    }
    let schedule = STUNProbe.Schedule.listening(roundTrip: chosen.roundTrip)
    fromOther = begin(
      to: chosen.primary, answerFrom: chosen.other,
      change: STUNSocket(usesOtherAddress: true, usesOtherPort: true), schedule: schedule, now: now,
      into: &sends)
    fromOtherPort = begin(
      to: chosen.primary, answerFrom: Endpoint(chosen.primary.address, port: chosen.other.port),
      change: STUNSocket(usesOtherPort: true), schedule: schedule, now: now, into: &sends)
    stage = .filtering
  }

  /// An answer from the other address settles it; otherwise both tests run to their ends.
  private var isFilterKnown: Bool {
    guard let fromOther, let fromOtherPort else { return true }
    if fromOther.response != nil { return true }
    return !fromOther.isWaiting && !fromOtherPort.isWaiting
  }

  private mutating func beginMapping(now: Instant, into sends: inout [STUNSend]) {
    stage = .mapping
    fromOther?.giveUp()
    fromOtherPort?.giveUp()
    guard let server, !question.isOwn(server.mapped) else { return }
    touched = server.other.address
    toOther = begin(
      to: Endpoint(server.other.address, port: server.primary.port), schedule: .asking, now: now, into: &sends
    )
    toOtherPort = begin(to: server.other, schedule: .asking, now: now, into: &sends)
  }

  private mutating func begin(
    to destination: Endpoint, answerFrom origin: Endpoint? = nil, change: STUNSocket = STUNSocket(),
    schedule: STUNProbe.Schedule, now: Instant, into sends: inout [STUNSend]
  ) -> STUNProbe? {
    guard let transaction = transactions.popFirst() else { return nil }
    var probe = STUNProbe(
      transaction, to: destination, answerFrom: origin, change: change, schedule: schedule, now: now)
    probe.advance(to: now, into: &sends)
    return probe
  }

  private func mapped(_ probe: STUNProbe?) -> Endpoint? {
    probe?.response?.mappedEndpoint.flatMap { question.permits($0) ? $0 : nil }
  }

  /// What the server says of itself is checked: nobody makes us send to where we would not go.
  private func testServer(_ probe: STUNProbe) -> TestServer? {
    guard let mapped = mapped(probe), let other = probe.response?.otherEndpoint,
      let roundTrip = probe.roundTrip, question.permits(other),
      other.address.isV4 == probe.destination.address.isV4, other.address != probe.destination.address,
      other.port != probe.destination.port,
      !other.address.isPrivateUse || probe.destination.address.isPrivateUse
    else { return nil }
    return TestServer(primary: probe.destination, other: other, mapped: mapped, roundTrip: roundTrip)
  }

  // MARK: What is known so far

  var findings: FamilyFindings {
    var findings = FamilyFindings()
    findings.asked = probes.count + nodeProbes.asked
    let answers = probes.filter { mapped($0) != nil }
    findings.answered = answers.count + nodeProbes.answered
    let byServer = server?.mapped ?? answers.first.flatMap { mapped($0) }
    let byNodes = nodeProbes.verdict(with: byServer, permits: question.permits)
    guard let reflexive = byServer ?? byNodes?.reflexive else { return findings }
    findings.reflexive = reflexive
    if question.localPort != 0 { findings.keepsPort = reflexive.port == question.localPort }
    findings.mapping = byServer == nil ? .unknown : mapping(reflexive, answers)
    if findings.mapping == .unknown, let byNodes {
      findings.mapping = question.isOwn(reflexive) ? .none : byNodes.mapping
    }
    findings.filtering = filtering
    if let hairpin, !hairpin.isWaiting { findings.hairpins = hairpin.response != nil }
    findings.isCarrierGrade = question.isCarrierGrade(reflexive)
    return findings
  }

  /// RFC 5780 §4.3; without a server that has two addresses, what several servers saw.
  private func mapping(_ reflexive: Endpoint, _ answers: [STUNProbe]) -> NATMapping {
    if question.isOwn(reflexive) { return .none }
    if let other = mapped(toOther), let otherPort = mapped(toOtherPort) {
      if other == reflexive && otherPort == reflexive { return .endpointIndependent }
      return other == otherPort ? .addressDependent : .addressAndPortDependent
    }
    // One of the two got lost. A difference is a difference all the same, and the worse case is assumed.
    let seen = answers.compactMap { mapped($0) } + [mapped(toOther), mapped(toOtherPort)].compactMap(\.self)
    if seen.contains(where: { $0 != reflexive }) { return .addressAndPortDependent }
    let places = Set(
      (answers + [toOther, toOtherPort].compactMap(\.self)).filter { mapped($0) != nil }
        .map(\.destination.address))
    return places.count > 1 ? .endpointIndependent : .unknown
  }

  /// RFC 5780 §4.4. A server that refuses, or answers from the wrong place, tells nothing.
  private var filtering: NATFiltering {
    guard server != nil else { return .unknown }
    guard let fromOther, let fromOtherPort else { return earlier.last?.filtering ?? .unknown }
    switch (fromOther.state, fromOtherPort.state) {
    case (.answered, _): return .endpointIndependent
    case (.silent, .answered): return .addressDependent
    case (.silent, .silent): return .addressAndPortDependent
    case (.refused, _), (_, .refused), (.waiting, _), (_, .waiting): return .unknown
    }
  }
}

/// What an earlier run left behind in the NAT and found out about it.
struct EarlierRun: Sendable {
  /// Addresses that were sent to so lately that a filter may still be open for them.
  var touched: [IPAddress] = []
  var last: FamilyFindings?

  /// The same outer endpoint is the same NAT and the same mapping: what was true then is true. At another
  /// endpoint nothing has been opened.
  func mayHaveOpened(for address: IPAddress, at mapped: Endpoint) -> Bool {
    touched.contains(address) && last?.reflexive == mapped
  }
}
