import Kademlia
import MeshWire
import RepeatableRandom
import Testing

@Suite struct LookupTests {
  private var random = SplitMix64(seed: 42)
  private let own = PeerID([UInt8](repeating: 0xa5, count: 20))!
  private let target = PeerID([UInt8](repeating: 0x3c, count: 20))!

  private func lookup(_ seeds: [ContactHint], _ change: (inout Lookup.Limits) -> Void = { _ in }) -> Lookup {
    var limits = Lookup.Limits()
    change(&limits)
    return Lookup(target: target, own: own, seeds: seeds, limits: limits, now: .start)
  }

  /// A hint at a given distance class of the target: the higher `bucket`, the farther.
  private mutating func hint(_ bucket: Int) -> ContactHint {
    random.contact(inBucket: bucket, of: target).hint
  }

  private func queries(_ lookup: inout Lookup, now: Instant) -> [ContactHint] {
    var asked: [ContactHint] = []
    while case .query(let hint) = lookup.next(now: now) { asked.append(hint) }
    return asked
  }

  @Test func withoutSeedsItIsExhaustedAtOnce() {
    var lookup = lookup([])
    guard case .finished(let result) = lookup.next(now: .start) else {
      Issue.record("not finished")
      return
    }
    #expect(result.reason == .exhausted)
    #expect(result.closest == [])
    #expect(lookup.isFinished)
  }

  @Test mutating func theNearestSeedsAreAskedFirstThreeAtATime() {
    let seeds = [hint(150), hint(140), hint(159), hint(130), hint(120)]
    var lookup = lookup(seeds)
    expect(queries(&lookup, now: .start), equals: [seeds[4], seeds[3], seeds[1]])
    #expect(lookup.inFlight == 3)
    expect(lookup.next(now: .start), equals: .waiting(until: .seconds(2)))
    lookup.failed(seeds[3].peerID, now: .start)
    expect(queries(&lookup, now: .start), equals: [seeds[0]])
  }

  @Test mutating func nearerHintsAreAskedBeforeFartherSeeds() {
    let seeds = [hint(150), hint(151), hint(152), hint(153)]
    let near = hint(100)
    var lookup = lookup(seeds)
    _ = queries(&lookup, now: .start)
    expect(lookup.answered(from: seeds[1].peerID, hints: [near], now: .start), equals: true)
    expect(queries(&lookup, now: .start), equals: [near])
  }

  @Test mutating func itConvergesWhenTheNearestHaveAnswered() {
    let seeds = (0..<6).map { _ in hint(150) } + [hint(159)]
    var lookup = lookup(seeds) { $0.results = 3 }
    var result: LookupResult?
    var asked = 0
    while result == nil {
      switch lookup.next(now: .start) {
      case .query(let hint):
        asked += 1
        lookup.answered(from: hint.peerID, hints: [], now: .start)
      case .waiting: Issue.record("nothing is in flight")
      case .finished(let end): result = end
      }
    }
    #expect(asked == 3)
    #expect(result?.reason == .converged)
    #expect(
      result?.closest.map(\.peerID)
        == seeds.map(\.peerID).sorted {
          $0.distance(to: target) < $1.distance(to: target)
        }.prefix(3).map { $0 })
  }

  @Test mutating func aSilentNodeTimesOutAndItsLateAnswerStillCounts() {
    let seeds = [hint(150), hint(151), hint(152), hint(153)]
    var lookup = lookup(seeds)
    _ = queries(&lookup, now: .start)
    expect(queries(&lookup, now: .seconds(2)), equals: [seeds[3]])
    #expect(lookup.counters.timedOut == 3)
    #expect(lookup.inFlight == 1)
    expect(lookup.answered(from: seeds[0].peerID, hints: [], now: .seconds(3)), equals: true)
    #expect(lookup.inFlight == 1)
    guard case .finished(let result) = lookup.next(now: .seconds(4)) else {
      Issue.record("not finished")
      return
    }
    #expect(result.reason == .exhausted)
    #expect(result.closest == [seeds[0]])
  }

  @Test mutating func theDeadlineEndsIt() {
    let seeds = (0..<20).map { _ in hint(155) }
    var lookup = lookup(seeds) { $0.queryTimeout = .seconds(60) }
    _ = queries(&lookup, now: .start)
    expect(lookup.next(now: .start), equals: .waiting(until: .seconds(10)))
    guard case .finished(let result) = lookup.next(now: .seconds(10)) else {
      Issue.record("not finished")
      return
    }
    #expect(result.reason == .deadline)
    expect(lookup.answered(from: seeds[0].peerID, hints: [], now: .seconds(11)), equals: false)
    expect(lookup.next(now: .seconds(99)), equals: .finished(result))
  }

  @Test mutating func theNumberOfQueriesIsBounded() {
    var lookup = lookup((0..<20).map { _ in hint(158) })
    var asked = 0
    var result: LookupResult?
    while result == nil {
      switch lookup.next(now: .start) {
      case .query(let queried):
        asked += 1
        // Every answer invents nearer nodes, and every one of them does the same.
        let depth = max(0, 157 - asked)
        lookup.answered(
          from: queried.peerID, hints: (0..<20).map { _ in hint(depth) }, now: .start)
      case .waiting: Issue.record("nothing is in flight")
      case .finished(let end): result = end
      }
    }
    #expect(asked == 60)
    #expect(result?.reason == .queryLimit)
    #expect(result!.counters.candidatesOverLimit > 0)
  }

  @Test mutating func theCallerMayStopIt() {
    let seed = hint(150)
    var lookup = lookup([seed])
    _ = queries(&lookup, now: .start)
    lookup.stop()
    guard case .finished(let result) = lookup.next(now: .start) else {
      Issue.record("not finished")
      return
    }
    #expect(result.reason == .stopped)
  }

  // MARK: What is not believed

  /// Without this check anyone steers a look-up that never asked it.
  @Test mutating func anAnswerFromANodeThatWasNotAskedIsIgnored() {
    let seeds = [hint(150), hint(151), hint(152), hint(153)]
    var lookup = lookup(seeds)
    let stranger = hint(3)
    expect(lookup.answered(from: seeds[0].peerID, hints: [stranger], now: .start), equals: false)
    _ = queries(&lookup, now: .start)
    expect(lookup.answered(from: seeds[3].peerID, hints: [stranger], now: .start), equals: false)
    expect(lookup.answered(from: stranger.peerID, hints: [stranger], now: .start), equals: false)
    expect(lookup.answered(from: seeds[0].peerID, hints: [], now: .start), equals: true)
    expect(lookup.answered(from: seeds[0].peerID, hints: [stranger], now: .start), equals: false)
    #expect(lookup.counters.unexpectedAnswers == 4)
    expect(queries(&lookup, now: .start), equals: [seeds[3]])
  }

  /// Without this check one answer fills the list of candidates.
  @Test mutating func hintsBeyondTwentyOfOneAnswerAreDropped() {
    let seed = hint(159)
    var lookup = lookup([seed]) { $0.parallelism = 100 }
    _ = queries(&lookup, now: .start)
    lookup.answered(from: seed.peerID, hints: (0..<50).map { _ in hint(140) }, now: .start)
    expect(queries(&lookup, now: .start).count, equals: 20)
    #expect(lookup.counters.hintsOverLimit == 30)
  }

  /// Without this check a hint makes us dial ourselves, or the services of our own machine.
  @Test mutating func ourselvesAndUndialableEndpointsAreNeverAsked() {
    let seed = hint(159)
    var lookup = lookup([seed])
    _ = queries(&lookup, now: .start)
    let us = ContactHint(
      keyHash: KeyHash(own.bytes + random.bytes(12))!, endpoint: random.endpoint(), sequence: 1)
    let bad = ["127.0.0.1:1", "[ff02::1]:1", "192.0.2.1:0", "[fd73:6d00::1]:1"].map {
      ContactHint(keyHash: random.keyHash(), endpoint: Endpoint($0)!, sequence: 1)
    }
    lookup.answered(from: seed.peerID, hints: [us] + bad, now: .start)
    expect(queries(&lookup, now: .start), equals: [])
    #expect(lookup.counters.ownIdentifier == 1)
    #expect(lookup.counters.notDialable == 4)
  }

  /// Without this a false hint that comes first hides the true one of the same PeerID.
  @Test mutating func afterAFalseClaimTheTrueOneIsAsked() {
    let honest = ContactHint(
      keyHash: KeyHash(target.bytes + random.bytes(12))!, endpoint: random.endpoint(), sequence: 1)
    let forged = ContactHint(
      keyHash: KeyHash(target.bytes + random.bytes(12))!, endpoint: random.endpoint(), sequence: 9)
    let seeds = [hint(158), hint(159)]
    var lookup = lookup(seeds)
    _ = queries(&lookup, now: .start)
    lookup.answered(from: seeds[0].peerID, hints: [forged, forged], now: .start)
    lookup.answered(from: seeds[1].peerID, hints: [honest], now: .start)
    // One claim of a PeerID at a time.
    expect(queries(&lookup, now: .start), equals: [forged])
    #expect(lookup.targetClaims == [forged, honest])
    lookup.failed(target, now: .start)
    expect(queries(&lookup, now: .start), equals: [honest])
    lookup.answered(from: target, hints: [forged], now: .start)
    guard case .finished(let result) = lookup.next(now: .start) else {
      Issue.record("not finished")
      return
    }
    #expect(result.targetClaims == [honest])
    #expect(result.closest.first == honest)
  }

  @Test mutating func claimsOfOnePeerAreBounded() {
    let seed = hint(159)
    let one = random.keyHash()
    var lookup = lookup([seed])
    _ = queries(&lookup, now: .start)
    let claims = (0..<9).map { _ in
      ContactHint(keyHash: one, endpoint: random.endpoint(), sequence: 1)
    }
    lookup.answered(from: seed.peerID, hints: claims, now: .start)
    #expect(lookup.counters.refusedClaims == 6)
    for claim in claims.prefix(3) {
      expect(queries(&lookup, now: .start), equals: [claim])
      lookup.failed(one.peerID, now: .start)
    }
    expect(queries(&lookup, now: .start), equals: [])
  }
}
