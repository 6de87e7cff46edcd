import MeshWire
import Testing

@testable import Simulation

/// Slices of the small topologies, and what their networks let through.
@Suite struct TopologyTests {
  @Test(arguments: 1...20 as ClosedRange<UInt64>)
  func everyPairThatCanConnectDoesAndTheOthersAreReported(_ seed: UInt64) {
    let outcome = TopologyCase(seed: seed).play()
    #expect(outcome.violation == nil && outcome.isConnected, "\(outcome.story)")
  }

  @Test func aCaseIsReplayedExactly() {
    let (one, again) = (TopologyCase(seed: 5).play(), TopologyCase(seed: 5).play())
    #expect(one.events == again.events && one.elapsed == again.elapsed)
  }

  @Test func thereAreCasesOfEveryShapeAndSize() {
    let drawn = (1...100 as ClosedRange<UInt64>).map { seed in
      var chance = Chance(seed: seed)
      return Topology(&chance)
    }
    #expect(Set(drawn.map(\.shape)) == Set(Topology.Shape.allCases))
    #expect(Set(drawn.map(\.places.count)) == [3, 4, 5])
    let hopeless = drawn.filter { topology in
      topology.places.indices.contains { a in
        topology.places.indices.contains { b in a != b && !topology.canConnect(a, b) }
      }
    }
    #expect(hopeless.count > 30, "some have a pair that can't connect")
  }

  private func network() -> Network {
    Network(usual: LinkQuality(), chance: Chance(seed: 1))
  }

  private func host(_ number: Int) -> HostID { HostID(number: number) }

  private func endpoint(_ address: UInt32) -> Endpoint { Endpoint(.v4(address), port: 8_443) }

  /// Who gets what is sent from a host.
  private func receiver(
    _ network: inout Network, from sender: Int, at inner: Endpoint, to destination: Endpoint
  ) -> HostID? {
    let now = Instant(nanoseconds: 1)
    let flights = network.send([1], from: host(sender), at: inner, to: destination, now: now)
    return flights.first.flatMap { network.receiver(of: $0, now: now) }
  }

  @Test func hostsBehindOneNATReachEachOtherInTheirNetworkAndNobodyElseDoes() {
    var network = network()
    let nats = [NATKind.symmetric, .symmetric].enumerated().map {
      network.addNAT($1, at: .v4(0xc612_0901 + UInt32($0) << 8))
    }
    let (a, b, c) = (endpoint(0x0a00_0002), endpoint(0x0a00_0102), endpoint(0x0a00_0202))
    network.attach(host(0), at: a, behind: [nats[0]])
    network.attach(host(1), at: b, behind: [nats[0]])
    network.attach(host(2), at: c, behind: [nats[1]])
    #expect(receiver(&network, from: 0, at: a, to: b) == host(1))
    #expect(receiver(&network, from: 2, at: c, to: b) == nil)
  }

  @Test(arguments: [true, false])
  func twoHomesBehindOneCarrierNeedItsHairpin(hairpins: Bool) throws {
    var network = network()
    var kind = NATKind.fullCone
    kind.hairpins = hairpins
    let carrier = network.addNAT(kind, at: .v4(0xc612_0901))
    let homes = (0..<2 as Range<UInt32>).map {
      network.addNAT(.fullCone, at: .v4(0x6440_0001 + $0 << 8))
    }
    let (a, b) = (endpoint(0x0a00_0002), endpoint(0x0a00_0102))
    network.attach(host(0), at: a, behind: [homes[0], carrier])
    network.attach(host(1), at: b, behind: [homes[1], carrier])
    let seen = network.outerEndpoint(of: host(1), at: b, now: Instant(nanoseconds: 1))
    let outer = try #require(seen)
    #expect(outer.address == .v4(0xc612_0901))
    #expect(receiver(&network, from: 0, at: a, to: outer) == (hairpins ? host(1) : nil))
  }

  @Test func aHostWithoutUDPNeitherSendsNorReceives() {
    var network = network()
    let (a, b) = (endpoint(0xc612_0101), endpoint(0xc612_0201))
    network.attach(host(0), at: a, behind: [])
    network.attach(host(1), at: b, behind: [])
    #expect(receiver(&network, from: 0, at: a, to: b) == host(1))
    network.block(host(1))
    #expect(receiver(&network, from: 0, at: a, to: b) == nil)
    #expect(receiver(&network, from: 1, at: b, to: a) == nil)
  }
}
