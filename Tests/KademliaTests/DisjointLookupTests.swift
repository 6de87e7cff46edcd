import Kademlia
import MeshWire
import RepeatableRandom
import Testing

/// Each check of ``DisjointLookup`` has a test here that fails without it.
@Suite struct DisjointLookupTests {
  private var random = SplitMix64(seed: 43)
  private let own = PeerID([UInt8](repeating: 0xa5, count: 20))!
  private let target = PeerID([UInt8](repeating: 0x3c, count: 20))!

  private func lookup(
    _ seeds: [ContactHint], companions: [ContactHint] = [],
    _ change: (inout DisjointLookup.Limits) -> Void = { _ in }
  ) -> DisjointLookup {
    var limits = DisjointLookup.Limits()
    change(&limits)
    return DisjointLookup(
      target: target, own: own, seeds: seeds, companions: companions, limits: limits, now: .start)
  }

  private mutating func hint(_ bucket: Int) -> ContactHint {
    random.contact(inBucket: bucket, of: target).hint
  }

  private func queries(_ lookup: inout DisjointLookup, now: Instant = .start) -> [ContactHint] {
    var asked: [ContactHint] = []
    while case .query(let hint) = lookup.next(now: now) { asked.append(hint) }
    return asked
  }

  private func result(_ lookup: inout DisjointLookup, now: Instant = .start) throws -> LookupResult {
    guard case .finished(let result) = lookup.next(now: now) else { throw NotFinished() }
    return result
  }

  private struct NotFinished: Error {}

  @Test mutating func theSeedsAreDealtOutAndEachPathAsksOneNodeAtATime() {
    let seeds = (0..<8).map { _ in hint(150) }
    var lookup = lookup(seeds)
    expect(queries(&lookup), equals: Array(seeds[..<4]))
    #expect(lookup.inFlight == 4)
    expect(lookup.next(now: .start), equals: .waiting(until: .seconds(2)))
  }

  /// Without this one liar steers every path.
  @Test mutating func whatALiarSaysIsFollowedByItsOwnPathOnly() {
    let seeds = (0..<4).map { _ in hint(150) }
    let nearer = (0..<20).map { _ in hint(20) }
    var lookup = lookup(seeds)
    _ = queries(&lookup)
    lookup.answered(from: seeds[0].peerID, hints: nearer, now: .start)
    expect(queries(&lookup).count, equals: 1)
    lookup.answered(from: seeds[1].peerID, hints: [], now: .start)
    expect(queries(&lookup), equals: [])
  }

  /// Without this the paths are not disjoint, and who stands on all of them stops all of them.
  @Test mutating func aNodeIsAskedByOnePathOnly() {
    let seeds = (0..<4).map { _ in hint(150) }
    let shared = hint(20)
    let other = hint(30)
    var lookup = lookup(seeds)
    _ = queries(&lookup)
    lookup.answered(from: seeds[0].peerID, hints: [shared], now: .start)
    lookup.answered(from: seeds[1].peerID, hints: [shared, other], now: .start)
    expect(queries(&lookup), equals: [shared, other])
    lookup.answered(from: shared.peerID, hints: [], now: .start)
    lookup.answered(from: seeds[2].peerID, hints: [shared], now: .start)
    expect(queries(&lookup), equals: [])
  }

  /// Without this a liar hides a node from all by saying first that it is elsewhere.
  @Test mutating func afterAFalseClaimAnotherPathAsksWhereItKnowsTheNode() {
    let seeds = (0..<4).map { _ in hint(150) }
    let honest = hint(20)
    let forged = ContactHint(keyHash: honest.keyHash, endpoint: random.endpoint(), sequence: 9)
    var lookup = lookup(seeds)
    _ = queries(&lookup)
    lookup.answered(from: seeds[0].peerID, hints: [forged], now: .start)
    lookup.answered(from: seeds[1].peerID, hints: [honest], now: .start)
    lookup.answered(from: seeds[2].peerID, hints: [forged], now: .start)
    // One at a time.
    expect(queries(&lookup), equals: [forged])
    lookup.failed(honest.peerID, now: .start)
    // And not once more where nobody was.
    expect(queries(&lookup), equals: [honest])
    // Silence frees it as failure does.
    var second = self.lookup(seeds)
    _ = queries(&second)
    second.answered(from: seeds[0].peerID, hints: [forged], now: .start)
    second.answered(from: seeds[1].peerID, hints: [honest], now: .start)
    expect(queries(&second), equals: [forged])
    #expect(queries(&second, now: .seconds(2)).contains(honest))
  }

  /// Without this the first liar on a path has the whole of its budget.
  @Test mutating func aWalkEndsAfterSixAnswersAndThePathGoesBackToItsNextSeed() {
    let seeds = (0..<8).map { hint(150 + $0 / 4) }
    var lookup = lookup(seeds)
    for seed in queries(&lookup).dropFirst() { lookup.failed(seed.peerID, now: .start) }
    var asked = queries(&lookup).filter { !seeds.contains($0) }
    #expect(asked.isEmpty)
    for seed in seeds[5...] { lookup.failed(seed.peerID, now: .start) }
    var next = seeds[0]
    for _ in 0..<6 {
      lookup.answered(from: next.peerID, hints: (0..<20).map { _ in hint(20) }, now: .start)
      asked = queries(&lookup)
      next = asked[0]
    }
    #expect(asked == [seeds[4]])
  }

  /// Without this, silence costs a walk what answers cost it.
  @Test mutating func silentNodesAreNotCountedAsTheAnswersOfAWalk() {
    let seeds = (0..<8).map { hint(150 + $0 / 4) }
    var lookup = lookup(seeds)
    for seed in queries(&lookup).dropFirst() { lookup.failed(seed.peerID, now: .start) }
    _ = queries(&lookup)
    for seed in seeds[5...] { lookup.failed(seed.peerID, now: .start) }
    lookup.answered(from: seeds[0].peerID, hints: (0..<20).map { _ in hint(20) }, now: .start)
    for asked in 1..<12 {
      let next = queries(&lookup)
      #expect(next.count == 1 && next != [seeds[4]], "query \(asked)")
      if let next = next.first { lookup.failed(next.peerID, now: .start) }
    }
    // But they have a bound of their own.
    expect(queries(&lookup), equals: [seeds[4]])
  }

  /// Without these bounds nodes that invent nodes keep us asking.
  @Test(arguments: [1, 4, 8]) func queriesAreBoundedPerPathAndInAll(_ paths: Int) throws {
    var copy = self
    let seeds = (0..<40).map { _ in copy.hint(158) }
    var lookup = lookup(seeds) { $0.paths = paths }
    var asked = 0
    while case .query(let queried) = lookup.next(now: .start) {
      asked += 1
      let depth = max(0, 157 - asked / 2)
      let invented = (0..<20).map { _ in copy.hint(depth) }
      lookup.answered(from: queried.peerID, hints: invented, now: .start)
    }
    #expect(asked == (paths == 1 ? 60 : paths * 30))
    #expect(try result(&lookup).counters.queried == asked)
  }

  /// Without this check whoever owns one network is asked for all of them.
  @Test mutating func atMostTenNodesOfOnePrefixAreAsked() throws {
    let seeds = try (0..<20).map { host in
      ContactHint(
        keyHash: random.keyHash(), endpoint: try #require(Endpoint("192.0.2.\(host):8443")), sequence: 1)
    }
    var lookup = lookup(seeds)
    var asked = 0
    while true {
      let now = queries(&lookup)
      if now.isEmpty { break }
      asked += now.count
      for hint in now { lookup.answered(from: hint.peerID, hints: [], now: .start) }
    }
    #expect(asked == 10)
    #expect(try result(&lookup).counters.prefixLimit == 10)
  }

  @Test mutating func withOneSeedItGoesAsFarAsAPlainLookUp() throws {
    var lookup = lookup([hint(159)])
    var asked: [PeerID] = []
    while true {
      let now = queries(&lookup)
      if now.isEmpty { break }
      #expect(now.count <= 4)
      for hint in now {
        asked.append(hint.peerID)
        let bucket = max(100, 158 - asked.count)
        let hints = [self.hint(bucket), self.hint(bucket)]
        lookup.answered(from: hint.peerID, hints: hints, now: .start)
      }
    }
    #expect(asked.count > 20)
    #expect(try result(&lookup).closest.count == 20)
  }

  @Test mutating func companionsAreAskedAndTheirHintsAreNotFollowed() throws {
    let companions = (0..<30).map { _ in hint(159) }
    let seed = hint(150)
    var lookup = lookup([seed], companions: companions + [seed])
    var asked: [ContactHint] = []
    while true {
      let now = queries(&lookup)
      if now.isEmpty { break }
      #expect(now.count <= 17)
      asked += now
      for one in now {
        let named = one == seed ? [] : [hint(3)]
        lookup.answered(from: one.peerID, hints: named, now: .start)
      }
    }
    #expect(Set(asked) == Set(companions + [seed]))
    #expect(asked.count == 31)
  }

  @Test mutating func theResultIsTheUnionOfThePaths() throws {
    let seeds = (0..<4).map { _ in hint(150) }
    let found = (0..<4).map { hint(20 + $0) }
    var lookup = lookup(seeds)
    _ = queries(&lookup)
    for (seed, near) in zip(seeds, found) { lookup.answered(from: seed.peerID, hints: [near], now: .start) }
    _ = queries(&lookup)
    for near in found { lookup.answered(from: near.peerID, hints: [], now: .start) }
    let result = try result(&lookup)
    #expect(result.reason == .exhausted)
    #expect(Array(result.closest.prefix(4)) == found)
    #expect(result.walkEnds == found)
    #expect(Set(result.closest) == Set(seeds + found))
    #expect(result.counters.answered == 8)
  }

  /// Without this check anyone steers a look-up that never asked it.
  @Test mutating func answersThatWereNotAskedForOrComeTwiceAreIgnored() {
    let seeds = (0..<4).map { _ in hint(150) }
    let stranger = hint(3)
    var lookup = lookup(seeds)
    expect(lookup.answered(from: seeds[0].peerID, hints: [stranger], now: .start), equals: false)
    _ = queries(&lookup)
    expect(lookup.answered(from: stranger.peerID, hints: [stranger], now: .start), equals: false)
    expect(lookup.answered(from: seeds[0].peerID, hints: [], now: .start), equals: true)
    expect(lookup.answered(from: seeds[0].peerID, hints: [stranger], now: .start), equals: false)
    #expect(lookup.counters.unexpectedAnswers == 3)
    expect(queries(&lookup), equals: [])
  }

  @Test mutating func itEndsAtItsDeadlineAndWhenTheCallerStopsIt() throws {
    var lookup = lookup([hint(150)])
    _ = queries(&lookup)
    #expect(lookup.deadlineOfNext == .seconds(2))
    var second = lookup
    #expect(try result(&lookup, now: .seconds(20)).reason == .deadline)
    #expect(lookup.deadlineOfNext == nil)
    second.stop()
    #expect(try result(&second).reason == .stopped)
    #expect(second.isFinished)
  }
}
