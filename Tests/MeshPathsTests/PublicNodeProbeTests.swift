import MeshPaths
import MeshWire
import Testing

@Suite struct PublicNodeProbeTests {
  private static let start = Instant(nanoseconds: 5_000_000_000)
  private static let nodes = ["203.0.114.1:8443", "203.0.115.1:8443", "203.0.116.1:8443"]
    .map { Endpoint($0)! }
  private static let lie = Endpoint("198.18.9.9:9")!

  /// A NAT before servers with one address each, and before public nodes.
  private func internet(
    _ mapping: NATMapping, servers: [Endpoint] = [SimulatedInternet.first], nodes: Int = 3
  ) -> SimulatedInternet {
    var internet = SimulatedInternet(
      SimulatedNAT(mapping: mapping, filtering: .addressAndPortDependent), seed: 1)
    for endpoint in servers + Self.nodes.prefix(nodes) { internet.addPlainServer(endpoint.description) }
    return internet
  }

  private func detect(
    _ internet: inout SimulatedInternet, servers: [Endpoint] = [SimulatedInternet.first],
    nodes: [Endpoint] = Self.nodes
  ) throws -> NATFindings {
    var detection = NATDetection()
    return try #require(
      internet.run(&detection, asking: servers, from: Self.start) { $0.publicNodes = nodes })
  }

  @Test(arguments: [
    (NATMapping.endpointIndependent, NATMapping.endpointIndependent),
    (.addressDependent, .addressAndPortDependent), (.addressAndPortDependent, .addressAndPortDependent),
  ])
  func `public nodes tell the mapping where the one server has one address`(
    mapping: NATMapping, found: NATMapping
  ) throws {
    var internet = internet(mapping)
    let findings = try detect(&internet)
    #expect(findings.v4?.mapping == found)
    #expect(findings.v4?.filtering == .unknown)
    #expect(findings.v4?.asked == 4)
    #expect(findings.roundTrips.map(\.server) == [SimulatedInternet.first])
    #expect(findings.took < .seconds(1))
  }

  @Test func `nobody asks them where a server tells everything`() throws {
    var internet = internet(.endpointIndependent, servers: [])
    internet.addServer("198.51.100.1", "198.51.100.2")
    let findings = try detect(&internet)
    #expect(findings.v4?.mapping == .endpointIndependent)
    #expect(internet.sentTo.isDisjoint(with: Self.nodes))
  }

  @Test func `they are enough where no server answers, and UDP is not taken for blocked`() throws {
    var internet = internet(.endpointIndependent, servers: [])
    let findings = try detect(&internet)
    #expect(findings.hasUDP)
    #expect(findings.v4?.mapping == .endpointIndependent)
    #expect(findings.v4?.reflexive?.address == internet.nat.outer)
    #expect(findings.took <= NATDetection.limit)
  }

  @Test func `no servers are needed at all`() throws {
    var internet = internet(.addressAndPortDependent, servers: [])
    let findings = try detect(&internet, servers: [])
    #expect(findings.v4?.mapping == .addressAndPortDependent)
    #expect(findings.reflexiveEndpoints.isEmpty)
  }

  // MARK: Liars

  @Test func `one liar changes nothing`() throws {
    for liar in Self.nodes {
      var internet = internet(.endpointIndependent)
      internet.liars[liar] = Self.lie
      let findings = try detect(&internet)
      #expect(findings.v4?.mapping == .endpointIndependent)
      #expect(findings.reflexiveEndpoints.map(\.address) == [internet.nat.outer])
    }
  }

  @Test func `nobody takes a lone node's word, or that of two against a server`() throws {
    var internet = internet(.endpointIndependent, servers: [], nodes: 1)
    let alone = try detect(&internet, nodes: [Self.nodes[0]])
    #expect(alone.hasUDP && alone.v4?.reflexive == nil && alone.v4?.mapping == .unknown)
    internet = self.internet(.endpointIndependent)
    internet.liars[Self.nodes[0]] = Self.lie
    let doubtful = try detect(&internet, nodes: [Self.nodes[0]])
    #expect(doubtful.v4?.mapping == .unknown)
    #expect(doubtful.v4?.reflexive?.address == internet.nat.outer)
    internet.liars[Self.nodes[1]] = Self.lie
    let two = try detect(&internet, nodes: Array(Self.nodes.prefix(2)))
    #expect(two.v4?.mapping == .unknown)
    #expect(two.v4?.reflexive?.address == internet.nat.outer)
  }

  @Test func `they send nobody where it would not go by itself`() throws {
    for lie in ["127.0.0.1:53", "224.0.0.1:53", "203.0.113.5:0"] {
      var internet = internet(.endpointIndependent, servers: [])
      for node in Self.nodes { internet.liars[node] = Endpoint(lie)! }
      #expect(try detect(&internet).v4?.reflexive == nil)
    }
  }

  // MARK: Bounds

  @Test func `no more are asked than there is room for, and no server twice`() throws {
    var internet = internet(.endpointIndependent, nodes: 0)
    let many = (0..<20).map { Endpoint(.v4(0xcb00_7200 + UInt32($0) << 8), port: 8_443) }
    let findings = try detect(&internet, nodes: [SimulatedInternet.first] + many)
    #expect(internet.sentTo.intersection(many).count == NATDetection.nodeLimit)
    #expect(findings.v4?.asked == 1 + NATDetection.nodeLimit)
    #expect(findings.took <= NATDetection.limit)
  }

  @Test func `none of a family that this machine has no address of`() throws {
    var internet = internet(.endpointIndependent)
    let six = Endpoint("[2001:db8::9]:8443")!
    let findings = try detect(&internet, nodes: Self.nodes + [six])
    #expect(findings.v6 == nil)
    #expect(!internet.sentTo.contains(six))
  }
}
