import MeshCrypto
import MeshPaths
import MeshWire
import Testing

@testable import MeshNode

@Suite struct DetectionTests {
  private func findings(_ events: [NodeEvent]) -> [NATFindings] {
    events.compactMap { event in
      guard case .natDetected(let findings) = event else { return nil }
      return findings
    }
  }

  private func request() -> [UInt8] {
    STUNMessage(.request, STUNTransaction([UInt8](repeating: 5, count: 12))!).encoded
  }

  @Test func `a node finds out where it is from its own socket, asking public nodes`() throws {
    var internet = SmallInternet()
    let asker = try internet.addHost()
    let servers = [try internet.addHost(.lightPublic), try internet.addHost(.backbone)]
    let endpoint = internet.hosts[asker].endpoint
    internet.hosts[asker].node.addressesChanged([AnnouncedEndpoint(.interface, endpoint)], now: internet.now)
    internet.hosts[asker].node.setSTUNServers(servers.map { internet.hosts[$0].endpoint }, now: internet.now)
    internet.run(.seconds(8))
    let found = try #require(findings(internet.hosts[asker].events).first)
    #expect(found.v4?.reflexive == endpoint)
    #expect(found.v4?.answered == 2)
    #expect(found.roundTrips.allSatisfy { $0.time == .milliseconds(2) })
    #expect(internet.hosts[asker].node.status(now: internet.now).nat == found)
    #expect(
      internet.hosts[asker].events.contains {
        if case .addressObserved(endpoint) = $0 { true } else { false }
      })
  }

  @Test func `it runs again after a while, when the addresses change, and when it is asked to`() throws {
    var internet = SmallInternet()
    let asker = try internet.addHost()
    let server = try internet.addHost(.lightPublic)
    internet.hosts[asker].node.setSTUNServers([internet.hosts[server].endpoint], now: internet.now)
    internet.run(.seconds(10))
    #expect(findings(internet.hosts[asker].events).count == 1)
    internet.run(.seconds(600))
    #expect(findings(internet.hosts[asker].events).count == 2)
    let other = AnnouncedEndpoint(.interface, Endpoint("198.18.77.1:8443")!)
    internet.hosts[asker].node.addressesChanged([other], now: internet.now)
    internet.run(.seconds(10))
    #expect(findings(internet.hosts[asker].events).count == 3)
    let began = internet.hosts[asker].node.detectNAT(now: internet.now)
    let again = internet.hosts[asker].node.detectNAT(now: internet.now)
    #expect(began && !again)
    internet.run(.seconds(10))
    #expect(findings(internet.hosts[asker].events).count == 4)
  }

  @Test func `a private node answers nobody, and a public one within its share`() throws {
    var internet = SmallInternet()
    let hosts = [try internet.addHost(.lightPrivate), try internet.addHost(.lightPublic)]
    let source = Endpoint("203.0.113.1:9")!
    for (host, limit) in zip(hosts, [0, 2 * STUNResponder.answersPerSecond]) {
      var answers = 0
      for _ in 0..<150 {
        var datagram = request()
        var span = datagram.mutableSpan
        _ = internet.hosts[host].node.receive(&span, from: source, now: internet.now)
        while let action = internet.hosts[host].node.nextAction() {
          guard case .send(let bytes, source) = action else { continue }
          #expect(bytes.count <= 3 * datagram.count)
          answers += 1
        }
      }
      #expect(answers == limit)
      #expect(internet.hosts[host].node.counters.drops[.stunRefused] == UInt64(150 - limit))
    }
  }

  @Test func `a question that seems to come from where nothing may go is answered nowhere`() throws {
    var internet = SmallInternet()
    let host = try internet.addHost(.lightPublic)
    let overlay = OverlayAddress(of: internet.peerID(host)).address
    let sources = [
      Endpoint(overlay, port: 9), Endpoint("224.0.0.1:9")!, Endpoint("[fe80::1]:9")!,
      Endpoint(.v6(0xffff << 32 | 0x7f00_0001), port: 9), Endpoint("203.0.113.1:0")!,
    ]
    for source in sources {
      var datagram = request()
      var span = datagram.mutableSpan
      let received = internet.hosts[host].node.receive(&span, from: source, now: internet.now)
      #expect(received == .dropped(.sourceRefused) && internet.hosts[host].node.nextAction() == nil)
    }
  }

  @Test func `an answer that nobody waits for is dropped, and never taken for a packet`() throws {
    var internet = SmallInternet()
    let host = try internet.addHost()
    var datagram = STUNMessage(.success, STUNTransaction([UInt8](repeating: 5, count: 12))!).encoded
    var span = datagram.mutableSpan
    let received = internet.hosts[host].node.receive(
      &span, from: Endpoint("203.0.113.1:9")!, now: internet.now)
    #expect(received == .dropped(.stunUnexpected))
  }

  @Test func `what comes over a circuit or a stream is no STUN`() throws {
    var internet = SmallInternet()
    let host = try internet.addHost(.lightPublic)
    var datagram = request()
    var span = datagram.mutableSpan
    let received = internet.hosts[host].node.receive(
      &span, from: Endpoint(CircuitNumber(number: 1)), now: internet.now)
    #expect(received == .dropped(.stunRefused))
  }

  @Test func `a record says what was found`() {
    var findings = NATFindings()
    #expect(findings.announced == (.unknown, .unknown))
    var family = FamilyFindings()
    family.answered = 1
    family.mapping = .none
    family.filtering = .endpointIndependent
    findings.v6 = family
    #expect(findings.announced == (.open, .open))
    family.mapping = .addressAndPortDependent
    family.filtering = .addressDependent
    findings.v4 = family
    #expect(findings.announced == (.addressAndPortDependent, .addressDependent))
  }

  @Test func `keepalives are rarer where neither a NAT nor a filter is in between`() throws {
    var open = FamilyFindings()
    open.answered = 1
    open.mapping = .none
    open.filtering = .endpointIndependent
    var mapped = open
    mapped.mapping = .endpointIndependent
    // Keys are random here, and when a session begins differs with them: one more is as good.
    var filtered = open
    filtered.filtering = .addressAndPortDependent
    let cases = [(mapped, nil, 4...5), (open, nil, 2...3), (open, filtered, 4...5), (open, open, 2...3)]
    for (v4, v6, expected) in cases as [(FamilyFindings, FamilyFindings?, ClosedRange<Int>)] {
      var findings = NATFindings()
      findings.v4 = v4
      findings.v6 = v6
      var internet = SmallInternet()
      for _ in 0..<2 { _ = try internet.addHost() }
      internet.hosts[0].node.adaptKeepalive(to: findings)
      try internet.pair(0, 1)
      internet.run(.seconds(5))
      let own = internet.hosts[0].endpoint
      var keepalives = 0
      internet.wire = { datagram, from, _ in
        if from == own, datagram.count == 32 { keepalives += 1 }
        return [datagram]
      }
      internet.run(.seconds(112))
      #expect(expected.contains(keepalives))
    }
  }
}
