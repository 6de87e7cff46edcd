import MeshPaths
import MeshWire
import Testing

@Suite struct NATDetectionTests {
  private static let start = Instant(nanoseconds: 5_000_000_000)
  static let mappings: [NATMapping] = [.endpointIndependent, .addressDependent, .addressAndPortDependent]
  static let filterings: [NATFiltering] = [
    .endpointIndependent, .addressDependent, .addressAndPortDependent,
  ]

  private func internet(
    _ mapping: NATMapping, _ filtering: NATFiltering, seed: UInt64 = 1
  ) -> SimulatedInternet {
    var internet = SimulatedInternet(SimulatedNAT(mapping: mapping, filtering: filtering), seed: seed)
    internet.addServer("198.51.100.1", "198.51.100.2")
    internet.addServer("192.0.2.77", "192.0.2.78")
    return internet
  }

  private func detect(_ internet: inout SimulatedInternet) throws -> NATFindings {
    var detection = NATDetection()
    return try #require(
      internet.run(
        &detection, asking: [SimulatedInternet.first, SimulatedInternet.second], from: Self.start))
  }

  @Test(arguments: mappings, filterings)
  func `each behaviour is told, and fast`(mapping: NATMapping, filtering: NATFiltering) throws {
    var internet = internet(mapping, filtering)
    let findings = try detect(&internet)
    let v4 = try #require(findings.v4)
    #expect(v4.mapping == mapping)
    #expect(v4.filtering == filtering)
    #expect(v4.reflexive?.address == internet.nat.outer)
    #expect(v4.keepsPort == true)
    #expect(v4.hairpins == false)
    #expect(v4.asked == 2 && v4.answered == 2)
    #expect(findings.v6 == nil)
    #expect(findings.roundTrips.map(\.time) == [.milliseconds(80), .milliseconds(80)])
    #expect(findings.took < .milliseconds(2_000))
  }

  @Test(arguments: mappings, filterings)
  func `one packet in five lost changes nothing`(mapping: NATMapping, filtering: NATFiltering) throws {
    var wrong = 0
    let runs: UInt64 = 400
    for seed in 0..<runs {
      var internet = internet(mapping, filtering, seed: seed)
      internet.loss = 0.2
      let findings = try detect(&internet)
      #expect(findings.took <= NATDetection.limit)
      if findings.v4?.mapping != mapping || findings.v4?.filtering != filtering { wrong += 1 }
    }
    // Seven tries miss once in 1,300, five once in 170; each run has several of these.
    #expect(100 * wrong <= 3 * Int(runs), "\(wrong) of \(runs) wrong")
  }

  @Test func `no NAT is told from one that keeps the port`() throws {
    var internet = internet(.none, .endpointIndependent)
    internet.inner = Endpoint("203.0.113.80:40000")!
    let v4 = try #require(try detect(&internet).v4)
    #expect(v4.mapping == .none && v4.filtering == .endpointIndependent)
    #expect(v4.hairpins == nil)
    #expect(v4.isCarrierGrade == false)
    #expect(v4.reach == .everyone)
  }

  @Test func `a firewall without a NAT is seen`() throws {
    var internet = internet(.none, .addressAndPortDependent)
    internet.inner = Endpoint("203.0.113.80:40000")!
    let v4 = try #require(try detect(&internet).v4)
    #expect(v4.mapping == .none && v4.filtering == .addressAndPortDependent)
    #expect(v4.reach == .allButSymmetric)
  }

  @Test func `blocked UDP takes no longer than it may`() throws {
    var internet = internet(.endpointIndependent, .endpointIndependent)
    internet.blocksUDP = true
    let findings = try detect(&internet)
    #expect(!findings.hasUDP)
    #expect(findings.v4?.answered == 0 && findings.v4?.mapping == .unknown)
    #expect(findings.took <= NATDetection.limit)
    #expect(findings.roundTrips.allSatisfy { $0.time == nil })
    #expect(internet.packets == 10)
  }

  @Test func `a hairpin is found, and another port`() throws {
    var internet = internet(.endpointIndependent, .addressAndPortDependent)
    internet.nat.hairpins = true
    internet.nat.keepsPort = false
    let v4 = try #require(try detect(&internet).v4)
    #expect(v4.hairpins == true)
    #expect(v4.keepsPort == false)
  }

  @Test func `IPv6 is looked at by itself`() throws {
    var internet = SimulatedInternet(SimulatedNAT(mapping: .none, filtering: .addressDependent), seed: 1)
    internet.inner = Endpoint("[2001:db8:9::1]:40000")!
    internet.addServer("2001:db8::1", "2001:db8::2")
    var detection = NATDetection()
    let servers = [Endpoint("[2001:db8::1]:3478")!, SimulatedInternet.first]
    let findings = try #require(internet.run(&detection, asking: servers, from: Self.start))
    #expect(findings.v6?.mapping == NATMapping.none && findings.v6?.filtering == .addressDependent)
    #expect(findings.v4?.isReachable == false)
    #expect(findings.reflexiveEndpoints == [internet.inner])
    #expect(findings.roundTrips.map(\.time) == [.milliseconds(80), nil])
  }

  // MARK: Servers that can't, or lie

  @Test func `servers with one address tell the mapping by what two of them see`() throws {
    for (mapping, expected): (NATMapping, NATMapping) in [
      (.endpointIndependent, .endpointIndependent), (.addressDependent, .addressAndPortDependent),
    ] {
      var internet = SimulatedInternet(
        SimulatedNAT(mapping: mapping, filtering: .addressAndPortDependent), seed: 1)
      internet.addPlainServer("198.51.100.1:3478")
      internet.addPlainServer("192.0.2.77:3478")
      let v4 = try #require(try detect(&internet).v4)
      #expect(v4.mapping == expected)
      #expect(v4.filtering == .unknown)
    }
  }

  @Test func `one server with one address tells neither`() throws {
    var internet = SimulatedInternet(
      SimulatedNAT(mapping: .endpointIndependent, filtering: .endpointIndependent), seed: 1)
    internet.addPlainServer("198.51.100.1:3478")
    var detection = NATDetection()
    let findings = try #require(
      internet.run(&detection, asking: [SimulatedInternet.first], from: Self.start))
    #expect(findings.v4?.mapping == .unknown && findings.v4?.filtering == .unknown)
    #expect(findings.v4?.reflexive != nil)
  }

  @Test(arguments: [
    "127.0.0.1:99", "10.0.0.1:99", "224.0.0.1:99", "198.51.100.1:99", "192.0.2.9:3478", "192.0.2.9:0",
    "[2001:db8::9]:99",
  ])
  func `a server sends nobody where it would not go by itself`(other: String) throws {
    var detection = NATDetection()
    var sends: [STUNSend] = []
    let question = NATDetection.Question(
      servers: [SimulatedInternet.first], localAddresses: [], localPort: 1)
    detection.start(question, random: [UInt8](repeating: 9, count: NATDetection.randomSize), now: Self.start)
    _ = detection.advance(to: Self.start, into: &sends)
    let request = try STUNMessage(decoding: sends[0].bytes)
    let answer = STUNMessage(
      .success, request.transaction,
      attributes: [.xorMappedAddress(Endpoint("203.0.113.5:1")!), .otherAddress(Endpoint(other)!)])
    sends = []
    let reception = detection.receive(
      answer.encoded, from: SimulatedInternet.first, now: Self.start, into: &sends)
    #expect(sends.isEmpty)
    guard case .finished(let findings) = reception else {
      Issue.record("it goes on with \(other)")
      return
    }
    #expect(findings.v4?.filtering == .unknown)
  }

  @Test func `an answer counts only from whom was asked, and only with the right transaction`() throws {
    var detection = NATDetection()
    var sends: [STUNSend] = []
    let question = NATDetection.Question(
      servers: [SimulatedInternet.first], localAddresses: [], localPort: 1)
    detection.start(question, random: [UInt8](repeating: 9, count: NATDetection.randomSize), now: Self.start)
    _ = detection.advance(to: Self.start, into: &sends)
    let request = try STUNMessage(decoding: sends[0].bytes)
    func answer(_ transaction: STUNTransaction) -> [UInt8] {
      STUNMessage(
        .success, transaction, attributes: [.xorMappedAddress(Endpoint("203.0.113.5:1")!)]
      ).encoded
    }
    let stranger = try #require(STUNTransaction([UInt8](repeating: 1, count: 12)))
    let reception = detection.receive(
      answer(stranger), from: SimulatedInternet.first, now: Self.start, into: &sends)
    #expect(reception == .notOurs)
    _ = detection.receive(
      answer(request.transaction), from: SimulatedInternet.second, now: Self.start, into: &sends)
    #expect(detection.findings?.v4?.reflexive == nil)
  }

  @Test func `the mapped address is not one that others could be sent astray with`() throws {
    for mapped in ["127.0.0.1:53", "0.0.0.0:53", "224.0.0.1:53", "203.0.113.5:0"] {
      var detection = NATDetection()
      var sends: [STUNSend] = []
      let question = NATDetection.Question(
        servers: [SimulatedInternet.first], localAddresses: [], localPort: 1)
      detection.start(
        question, random: [UInt8](repeating: 9, count: NATDetection.randomSize), now: Self.start)
      _ = detection.advance(to: Self.start, into: &sends)
      let request = try STUNMessage(decoding: sends[0].bytes)
      let answer = STUNMessage(
        .success, request.transaction, attributes: [.xorMappedAddress(Endpoint(mapped)!)])
      _ = detection.receive(answer.encoded, from: SimulatedInternet.first, now: Self.start, into: &sends)
      #expect(detection.findings?.v4?.reflexive == nil, "\(mapped)")
    }
  }

  // MARK: Runs

  @Test func `a second run soon after keeps the filtering that its own traffic would hide`() throws {
    var internet = internet(.endpointIndependent, .addressAndPortDependent)
    var detection = NATDetection()
    let asked = [SimulatedInternet.first]
    let before = try #require(internet.run(&detection, asking: asked, from: Self.start))
    #expect(before.v4?.filtering == .addressAndPortDependent)
    // The simulated NAT never forgets: without the rule, this would come out as no filter at all.
    let soon = Self.start + .seconds(60)
    let after = try #require(internet.run(&detection, asking: asked, from: soon))
    #expect(after.v4?.filtering == .addressAndPortDependent)
    let later = soon + NATDetection.quietTime + .seconds(10)
    internet.nat = SimulatedNAT(mapping: .endpointIndependent, filtering: .endpointIndependent)
    let last = try #require(internet.run(&detection, asking: asked, from: later))
    #expect(last.v4?.filtering == .endpointIndependent)
  }

  @Test func `the mapping is tested after the filter, because it opens it`() throws {
    var internet = internet(.endpointIndependent, .addressDependent)
    var detection = NATDetection()
    let findings = try #require(
      internet.run(&detection, asking: [SimulatedInternet.first], from: Self.start))
    #expect(findings.v4?.filtering == .addressDependent)
    #expect(internet.sentTo.contains(Endpoint("198.51.100.2:3479")!))
  }

  @Test func `one run at a time, and none without a question`() {
    var detection = NATDetection()
    let random = [UInt8](repeating: 9, count: NATDetection.randomSize)
    let question = NATDetection.Question(
      servers: [SimulatedInternet.first], localAddresses: [], localPort: 1)
    let first = detection.start(question, random: random, now: Self.start)
    let second = detection.start(question, random: random, now: Self.start)
    #expect(first && !second)
    #expect(detection.isRunning)
    var empty = NATDetection()
    var sends: [STUNSend] = []
    empty.start(
      NATDetection.Question(servers: [], localAddresses: [], localPort: 1), random: random, now: Self.start)
    #expect(empty.nextDeadline == Self.start)
    let findings = empty.advance(to: Self.start, into: &sends)
    #expect(findings?.v4 == nil && findings?.v6 == nil && sends.isEmpty)
    #expect(!empty.isRunning && empty.nextDeadline == nil)
  }

  @Test func `no more servers are asked than there is room for`() {
    var internet = internet(.endpointIndependent, .endpointIndependent)
    var detection = NATDetection()
    let many = (0..<40).map { Endpoint(.v4(0xcb00_7100 + UInt32($0)), port: 3_478) }
    _ = internet.run(&detection, asking: many, from: Self.start)
    #expect(internet.sentTo.count == NATDetection.serverLimit)
  }

  // MARK: CGNAT and words

  @Test func `a provider's NAT is told by the router's address, or by RFC 6598`() throws {
    func finding(_ local: String, router: String?) throws -> Bool? {
      var internet = internet(.endpointIndependent, .addressAndPortDependent)
      internet.inner = Endpoint(local)!
      var detection = NATDetection()
      return try #require(
        internet.run(&detection, asking: [SimulatedInternet.first], from: Self.start) {
          $0.routerAddress = router.flatMap { IPAddress($0) }
        }
      ).v4?.isCarrierGrade
    }
    #expect(try finding("192.168.1.2:40000", router: nil) == nil)
    #expect(try finding("192.168.1.2:40000", router: "203.0.113.5") == false)
    #expect(try finding("192.168.1.2:40000", router: "100.64.3.3") == true)
    #expect(try finding("100.64.3.3:40000", router: nil) == true)
    #expect(try finding("192.168.1.2:40000", router: "10.9.9.9") == true)
  }

  @Test func `a router that tells its address late is held against what servers saw`() throws {
    var internet = internet(.endpointIndependent, .addressAndPortDependent)
    internet.inner = Endpoint("192.168.1.2:40000")!
    let outer = internet.nat.outer
    var detection = NATDetection()
    let servers = [SimulatedInternet.first]
    #expect(internet.run(&detection, asking: servers, from: Self.start)?.v4?.isCarrierGrade == nil)
    for (router, expected) in [("100.64.3.3", true), (outer.description, false), (nil, nil)] {
      detection.learn(routerAddress: router.flatMap { IPAddress($0) })
      #expect(detection.findings?.v4?.isCarrierGrade == expected)
    }
    // While it runs: what is known so far says it too, and the end.
    let question = NATDetection.Question(
      servers: servers, localAddresses: [internet.inner.address], localPort: internet.inner.port)
    let random = [UInt8](repeating: 9, count: NATDetection.randomSize)
    detection.start(question, random: random, now: Self.start)
    detection.learn(routerAddress: IPAddress("100.64.3.3"))
    #expect(detection.findings?.v4?.isCarrierGrade == nil)
    var sends: [STUNSend] = []
    _ = detection.advance(to: Self.start, into: &sends)
    let transaction = try STUNMessage(decoding: sends[0].bytes).transaction
    let answer = STUNMessage(
      .success, transaction, attributes: [.xorMappedAddress(Endpoint(outer, port: 40_000))])
    let taken = detection.receive(answer.encoded, from: servers[0], now: Self.start, into: &sends)
    #expect(taken != .notOurs)
    #expect(detection.current(now: Self.start)?.v4?.isCarrierGrade == true)
  }

  @Test func `each reach has its sentence, and two families theirs`() {
    func family(_ mapping: NATMapping, _ filtering: NATFiltering) -> FamilyFindings {
      var family = FamilyFindings()
      family.answered = 1
      family.mapping = mapping
      family.filtering = filtering
      return family
    }
    #expect(FamilyFindings().reach == .nobody)
    #expect(family(.unknown, .endpointIndependent).reach == .unknown)
    #expect(family(.endpointIndependent, .addressAndPortDependent).reach == .allButSymmetric)
    #expect(family(.endpointIndependent, .unknown).reach == .allButSymmetric)
    #expect(family(.endpointIndependent, .addressDependent).reach == .everyone)
    #expect(family(.addressDependent, .endpointIndependent).reach == .unfilteredPeers)
    var findings = NATFindings()
    #expect(findings.meaning.contains("No STUN server"))
    findings.v4 = family(.addressAndPortDependent, .addressAndPortDependent)
    #expect(findings.meaning == DirectReach.unfilteredPeers.sentence)
    #expect(findings.reflexiveEndpoints.isEmpty)
    findings.v6 = family(.none, .addressDependent)
    #expect(findings.meaning.hasPrefix("Over IPv4: ") && findings.meaning.contains("Over IPv6: "))
    findings.v6 = FamilyFindings()
    #expect(findings.meaning.hasSuffix("There is no IPv6."))
  }
}
