import MeshWire
import Testing

@testable import Simulation

/// Slices of what `make sim` plays as a whole.
@Suite struct CaseTests {
  @Test(arguments: 1...40 as ClosedRange<UInt64>)
  func noInvariantBreaksAndAllConnectInTheEnd(_ seed: UInt64) {
    let outcome = HandshakeCase(seed: seed).play()
    #expect(outcome.violation == nil, "\(outcome.story)")
    #expect(outcome.isConnected, "\(outcome.story)")
  }

  @Test func realCryptographyDoesWhatTheStandInDoes() {
    for seed in 1...3 as ClosedRange<UInt64> {
      let outcome = HandshakeCase(seed: seed, isReal: true).play()
      #expect(outcome.violation == nil && outcome.isConnected, "\(outcome.story)")
    }
  }

  @Test func aSeedIsReplayedExactly() {
    for seed in [11, 12, 13] as [UInt64] {
      let (one, again) = (HandshakeCase(seed: seed).play(), HandshakeCase(seed: seed).play())
      #expect(one.events == again.events)
      #expect(one.elapsed == again.elapsed)
      #expect(one.packetsDelivered == again.packetsDelivered)
    }
  }

  @Test func everyFateOfASingleDatagramIsSurvived() {
    for one in ExhaustiveCase.all where one.fates.count < 2 {
      let outcome = one.play()
      #expect(outcome.violation == nil && outcome.isConnected, "\(outcome.story)")
    }
  }

  /// Seeds that took longer than 10 s before Acks kept their pace, and before what there was of M2 was kept.
  @Test(arguments: [2_367, 2_969, 5_419, 7_911] as [UInt64])
  func handshakesThatWereSlowOnce(_ seed: UInt64) throws {
    let took = try #require(LossyHandshake(seed: seed).play().took)
    #expect(took < .seconds(10))
  }

  @Test(arguments: [false, true])
  func aFloodFromForgedAddressesKeepsNobodyOut(isPublic: Bool) {
    let outcome = FloodRun(seed: 1, isPublic: isPublic, honest: 5, length: .milliseconds(400)).play()
    #expect(outcome.violation == nil)
    #expect(outcome.inTime == outcome.attempted && outcome.attempted == 5)
    #expect(outcome.reflected <= 3 * outcome.received)
    #expect(outcome.mostHalfOpens <= 128)
  }

  @Test func withoutPowerOrLinkNobodyConnects() {
    // The other way round: that the end of a case can fail.
    var chance = Chance(seed: 1)
    var world = World(seed: 1, usual: LinkQuality(loss: 1))
    let hosts = (1...2).map { number in
      world.addHost(
        HostPlan(
          identity: .standIn(&chance),
          endpoint: Endpoint(.v4(0xc612_0001 + UInt32(number) << 8), port: 8_443)))
    }
    world.add(hosts[1], asPeerOf: hosts[0], at: [world[hosts[1]].plan.endpoint])
    world.add(hosts[0], asPeerOf: hosts[1], at: [])
    #expect(!HandshakeCase.converge(&world, hosts[0], hosts[1]))
  }
}
