import Kademlia
import MeshWire
import Testing

/// What disjoint paths are for. 2,000 nodes with tables of 100; a look-up succeeds when the target itself
/// is asked, which is harder than to reach one of the nodes that have its record. The same model in an
/// optimised build gives at 10,000 nodes, with mixed lies (400 look-ups): 20 % colluders .84 with
/// d = 1, 1.0 with 4; 40 % colluders .62 with d = 1, .998 with 4, 1.0 with 8; 2.8 to 3.0 hops. When all lie
/// that they have fellows beside the target, which is the worst: .68 and 1.0; .45, .99 and 1.0.
@Suite struct LiarTests {
  private func tally(
    colluders: Double, paths: Int, lies: [LiarNetwork.Lie] = LiarNetwork.Lie.allCases, lookups: Int = 60
  ) -> LiarTally {
    var network = LiarNetwork(count: 2_000, colluders: colluders, lies: lies, seed: 21)
    var limits = DisjointLookup.Limits()
    limits.paths = paths
    return LiarTally(&network, lookups: lookups, limits: limits)
  }

  @Test func withoutLiarsEveryTargetIsFoundInFewerThanThreeHops() {
    let tally = tally(colluders: 0, paths: 4)
    #expect(tally.rate == 1)
    #expect(tally.meanHops < 3)
  }

  @Test func aFifthOfLiarsStopsOnePathAndNotFour() {
    #expect(tally(colluders: 0.2, paths: 1, lies: [.besideTarget]).rate < 0.9)
    #expect(tally(colluders: 0.2, paths: 4, lies: [.besideTarget]).rate >= 0.99)
  }

  @Test func twoFifthsOfLiarsStopOnePathAndNotEight() {
    #expect(tally(colluders: 0.4, paths: 1, lies: [.besideTarget]).rate < 0.8)
    let eight = tally(colluders: 0.4, paths: 8, lies: [.besideTarget])
    #expect(eight.rate >= 0.98)
    #expect(eight.most <= 8 * 30)
  }
}
