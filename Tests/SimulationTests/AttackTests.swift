import MeshWire
import Testing

@testable import Simulation

/// Slices of what `make sim` plays with attackers, and what they brought to light.
@Suite struct AttackTests {
  /// Who hoards costs too much to play here; `PlaceTests` shows who gives way to whom.
  @Test(arguments: [.forgery, .replay, .amplification] as [AttackRun.Attack])
  func theHonestConnectAndTalkUnderAttack(_ attack: AttackRun.Attack) {
    let outcome = AttackRun(seed: 1, attack: attack).play()
    #expect(outcome.violation == nil, "\(outcome.story)")
    #expect(outcome.forged > 100, "somebody attacks")
    #expect(outcome.inTime == outcome.pairs, "\(outcome.took)")
    #expect(outcome.heard * 10 > outcome.said * 8)
    #expect(outcome.isConnected)
    #expect(outcome.reflected <= 3 * outcome.received && outcome.halfOpensAfter == 0)
    #expect(outcome.mostHalfOpens <= 1_024)
  }

  /// One forged fragment of M1 that came first, or four of M2b, cost an attempt its 30 s.
  @Test(arguments: [10, 36] as [UInt64])
  func forgedFragmentsThatKeptTheTrueOnesOut(_ seed: UInt64) {
    let outcome = AttackRun(seed: seed, attack: .forgery).play()
    #expect(outcome.violation == nil && outcome.inTime == outcome.pairs, "\(outcome.took)")
  }

  /// A challenge that came from a victim's address, passed on sooner than the original, drew an answer and
  /// three challenges: seven times 42 bytes for two.
  @Test func answersToChallengesArePaidForToo() {
    let outcome = AttackRun(1_983).play()
    #expect(outcome.violation == nil)
  }

  @Test func anAttackIsReplayedExactly() {
    let outcomes = (1...2).map { _ in AttackRun(seed: 3, attack: .forgery).play() }
    #expect(outcomes[0].forged == outcomes[1].forged && outcomes[0].took == outcomes[1].took)
    #expect(outcomes[0].heard == outcomes[1].heard)
  }
}
