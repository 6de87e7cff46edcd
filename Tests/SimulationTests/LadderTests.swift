import MeshNode
import Testing

@testable import Simulation

/// A slice of `make sim`'s ladder: peers behind NATs of every kind, relays, a backbone, and one event each.
@Suite struct LadderTests {
  /// The last six have found mistakes: an own address that was asked for once and never again, and chains
  /// that all led through the relay that had died.
  @Test(arguments: Array(1...40 as ClosedRange<UInt64>) + [130, 193, 211, 489, 877, 1_312])
  func theyMeetAndKeepTalking(_ seed: UInt64) {
    let outcome = LadderCase(seed: seed).play()
    #expect(outcome.violation == nil, "\(outcome.story)")
    #expect(outcome.firstByte != nil, "\(outcome.story)")
    #expect(outcome.longestStall < .seconds(5), "\(outcome.longestStall): \(outcome.story)")
    if outcome.canBeDirect { #expect(outcome.isDirect, "\(outcome.story)") }
  }
}
