import MeshNode
import MeshWire
import Testing

@testable import Simulation

/// Slices of the runs of whole networks.
@Suite struct PopulationTests {
  private func lookups(
    _ share: Double, paths: Int, lies: [Lie] = Lie.allCases, founders: Int = 300, askers: Int = 4
  ) -> LookupRun {
    LookupRun(
      seed: 7, founders: founders, liarShare: share, paths: paths, lies: lies, targets: 3, askers: askers,
      groundKeys: 1_500)
  }

  @Test func recordsAreFoundThroughLiarsOfEveryKind() {
    let outcome = lookups(0.2, paths: 4).play()
    #expect(outcome.violation == nil)
    #expect(outcome.found == outcome.attempted && outcome.attempted == 12)
  }

  @Test func whoIsSurroundedByLiarsFindsAndIsFound() {
    let outcome = EclipseRun(seed: 2, founders: 300, callers: 30, lookups: 4, groundKeys: 1_500).play()
    #expect(outcome.violation == nil)
    #expect(outcome.liarsNearest >= 15, "they stand nearest, of \(outcome.contacts)")
    #expect(outcome.byVictim.attempted > 0 && outcome.byVictim.found == outcome.byVictim.attempted)
    #expect(outcome.forVictim.found == outcome.forVictim.attempted)
  }

  /// The other way round: that a look-up can fail.
  @Test func whereNearlyAllLieLookUpsFail() {
    let outcome = lookups(0.9, paths: 1, lies: [.besideTarget]).play()
    #expect(outcome.violation == nil)
    #expect(outcome.found < outcome.attempted)
  }

  /// It did once: every handshake led to a ping, and that to another handshake.
  @Test func aLookUpDoesNotWakeTheNetwork() {
    let outcome = lookups(0, paths: 4, founders: 2_000, askers: 1).play()
    #expect(outcome.found == outcome.attempted)
    #expect(outcome.nodesAwake < 300)
  }

  @Test func aPopulationIsReplayedExactly() {
    let (one, again) = (lookups(0.2, paths: 4).play(), lookups(0.2, paths: 4).play())
    #expect(one.events == again.events && one.times == again.times && one.nodesAwake == again.nodesAwake)
  }

  @Test func newcomersTakeThePlacesOfThoseWhoLeave() {
    let outcome = ChurnRun(seed: 3, founders: 40, lookups: 30).play()
    #expect(outcome.violation == nil)
    #expect(outcome.attempted > 0 && outcome.found == outcome.attempted)
  }

  @Test func sessionsAndRecordsOutliveTheBackbones() {
    let outcome = OutageRun(seed: 2, hosts: 6, hours: 1).play()
    #expect(outcome.violation == nil)
    #expect(outcome.packets.sent > 0 && outcome.packets.arrived == outcome.packets.sent)
    #expect(outcome.lookups.attempted > 0 && outcome.lookups.found == outcome.lookups.attempted)
  }

  @Test func whatWasLearnedIsAnsweredFromTheCache() {
    let outcome = CacheRun(seed: 4, founders: 300, popularity: .zipf, askers: 2, lookups: 40).play()
    #expect(outcome.violation == nil && outcome.failed == 0)
    #expect(outcome.fromCache > outcome.inTable && outcome.inTable > 0)
  }

  @Test func aNetworkThatIsAwakeStaysConnected() {
    var running = ScaleRun(seed: 5, founders: 20).start()
    running.runSecond()
    #expect(running.sessions.standing == 19)
    #expect(running.world.monitor.violation == nil)
  }
}
