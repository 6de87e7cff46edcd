import MeshWire
import RepeatableRandom
import Testing

@testable import Kademlia

@Suite struct RoutingTableTests {
  private static let own = PeerID(hex: "5b0e1d2c3b4a59687786a5b4c3d2e1f001122334")!

  private func table(_ change: (inout RoutingTable.Limits) -> Void = { _ in }) -> RoutingTable {
    var limits = RoutingTable.Limits()
    limits.pingAfter = .zero
    change(&limits)
    return RoutingTable(own: Self.own, limits: limits, now: .start)
  }

  @Test func aContactIsFoundAgainAndUpdatedInPlace() {
    var random = SplitMix64(seed: 1)
    var table = table()
    var contact = random.contact()
    expect(table.insert(contact, now: .seconds(1)), equals: .inserted)
    #expect(table.contact(contact.peerID)?.lastSeen == .seconds(1))
    contact.endpoint = random.endpoint()
    contact.sequence = 2
    expect(table.insert(contact, now: .seconds(2)), equals: .updated)
    #expect(table.contact(contact.peerID)?.endpoint == contact.endpoint)
    #expect(table.count == 1)
  }

  @Test func aLowerSequenceDoesNotMoveAContact() {
    var random = SplitMix64(seed: 2)
    var table = table()
    let contact = Contact(
      keyHash: random.keyHash(), endpoint: random.endpoint(), sequence: 5, lastSeen: .start)
    var old = contact
    old.sequence = 4
    old.endpoint = random.endpoint()
    _ = table.insert(contact, now: .start)
    expect(table.insert(old, now: .seconds(1)), equals: .updated)
    #expect(table.contact(contact.peerID)?.endpoint == contact.endpoint)
    #expect(table.contact(contact.peerID)?.sequence == 5)
    #expect(table.contact(contact.peerID)?.lastSeen == .seconds(1))
  }

  @Test func weAreNotInOurOwnTable() {
    var random = SplitMix64(seed: 3)
    var table = table()
    let hash = KeyHash(Self.own.bytes + random.bytes(12))!
    let contact = Contact(keyHash: hash, endpoint: random.endpoint(), sequence: 0, lastSeen: .start)
    expect(table.insert(contact, now: .start), equals: .refused(.ownIdentifier))
    #expect(table.counters.ownIdentifier == 1)
  }

  /// Without this check a second key ground out for a PeerID takes over its place.
  @Test func aSecondKeyHashWithAKnownPeerIDIsRefused() {
    var random = SplitMix64(seed: 4)
    var table = table { $0.bucketSize = 1 }
    let first = random.contact(inBucket: 150, of: Self.own)
    let waiting = random.contact(inBucket: 150, of: Self.own)
    _ = table.insert(first, now: .start)
    expect(table.insert(waiting, now: .start), equals: .pingOldest(table.contact(first.peerID)!))
    for known in [first, waiting] {
      let forged = Contact(
        keyHash: KeyHash(known.peerID.bytes + random.bytes(12))!, endpoint: known.endpoint, sequence: 9,
        lastSeen: .start)
      expect(table.insert(forged, now: .seconds(1)), equals: .refused(.conflictingKeyHash))
    }
    #expect(table.contact(first.peerID)?.keyHash == first.keyHash)
    #expect(table.counters.conflictingKeyHash == 2)
  }

  /// Without this check a stranger makes us send to our own services.
  @Test(arguments: [
    "127.0.0.1:22", "[::1]:22", "224.0.0.1:5", "169.254.0.1:5", "0.0.0.0:5", "192.0.2.1:0",
    "[fd73:6d00::1]:5", "[fe80::1]:5", "[ff02::1]:5",
  ])
  func anEndpointThatMustNotBeDialledIsRefused(text: String) throws {
    var random = SplitMix64(seed: 5)
    var table = table()
    let endpoint = try #require(Endpoint(text))
    let contact = random.contact(inBucket: 159, of: Self.own, at: endpoint)
    expect(table.insert(contact, now: .start), equals: .refused(.notDialable))
  }

  @Test func loopbackIsAcceptedOnlyWhenConfigured() throws {
    var random = SplitMix64(seed: 6)
    var table = table { $0.allowsLoopback = true }
    for port in 1...15 {
      let endpoint = try #require(Endpoint("127.0.0.1:\(port)"))
      expect(
        table.insert(random.contact(inBucket: 159, of: Self.own, at: endpoint), now: .start),
        equals: .inserted)
    }
    let zero = try #require(Endpoint("127.0.0.1:0"))
    expect(
      table.insert(random.contact(inBucket: 9, of: Self.own, at: zero), now: .start),
      equals: .refused(.notDialable))
  }

  // MARK: Ping before eviction

  /// Without this check an attacker with many new identifiers pushes every long-lived contact out.
  @Test func aFullBucketKeepsItsOldestWhileItAnswers() {
    var random = SplitMix64(seed: 7)
    var table = table()
    let old = (0..<20).map { _ in random.contact(inBucket: 159, of: Self.own) }
    for (second, contact) in old.enumerated() { _ = table.insert(contact, now: .seconds(second)) }
    for round in 0..<200 {
      let newcomer = random.contact(inBucket: 159, of: Self.own)
      guard case .pingOldest(let oldest) = table.insert(newcomer, now: .seconds(100 + round)) else {
        Issue.record("no ping asked")
        return
      }
      #expect(oldest.peerID == old[round % 20].peerID)
      table.seen(oldest.peerID, now: .seconds(100 + round))
      #expect(table.contact(newcomer.peerID) == nil)
    }
    #expect(Set(table.contacts.map(\.peerID)) == Set(old.map(\.peerID)))
    #expect(table.replacementCount == 10)
    #expect(table.counters.cacheOverflow == 190)
  }

  /// Without this check one handshake leads to a ping, that to another handshake at its other end, and that
  /// to another ping: a single look-up wakes a whole network.
  @Test func whoCameToUsAndWhoIsFreshLeadToNoPing() {
    var random = SplitMix64(seed: 6)
    var table = table {
      $0.bucketSize = 1
      $0.pingAfter = .seconds(600)
    }
    let oldest = random.contact(inBucket: 9, of: Self.own)
    _ = table.insert(oldest, now: .start)
    func offer(_ second: Int, mayPing: Bool) -> RoutingTable.InsertOutcome {
      table.insert(random.contact(inBucket: 9, of: Self.own), mayPing: mayPing, now: .seconds(second))
    }
    expect(offer(599, mayPing: true), equals: .cached)
    expect(offer(600, mayPing: false), equals: .cached)
    expect(offer(600, mayPing: true), equals: .pingOldest(table.contact(oldest.peerID)!))
  }

  @Test func aSilentOldestMakesRoomForTheNewestReplacement() {
    var random = SplitMix64(seed: 8)
    var table = table { $0.bucketSize = 2 }
    let contacts = (0..<4).map { _ in random.contact(inBucket: 100, of: Self.own) }
    _ = table.insert(contacts[0], now: .seconds(0))
    _ = table.insert(contacts[1], now: .seconds(1))
    expect(
      table.insert(contacts[2], now: .seconds(2)), equals: .pingOldest(table.contact(contacts[0].peerID)!))
    expect(table.insert(contacts[3], now: .seconds(3)), equals: .cached)
    expect(table.failed(contacts[0].peerID), equals: .kept(failures: 1))
    expect(table.failed(contacts[0].peerID), equals: .kept(failures: 2))
    guard case .removed(let replacement?) = table.failed(contacts[0].peerID) else {
      Issue.record("not removed")
      return
    }
    #expect(replacement.peerID == contacts[3].peerID)
    #expect(table.contacts.map(\.peerID) == [contacts[1].peerID, contacts[3].peerID])
    expect(table.failed(contacts[0].peerID), equals: .unknown)
    #expect(table.counters.promoted == 1)
  }

  @Test func anAnswerForgivesEarlierFailures() {
    var random = SplitMix64(seed: 9)
    var table = table()
    let contact = random.contact()
    _ = table.insert(contact, now: .start)
    for _ in 0..<5 {
      _ = table.failed(contact.peerID)
      expect(table.failed(contact.peerID), equals: .kept(failures: 2))
      expect(table.seen(contact.peerID, now: .seconds(1)), equals: true)
    }
    expect(table.seen(random.keyHash().peerID, now: .seconds(1)), equals: false)
  }

  @Test func aPingWithoutAVerdictIsAskedAgain() {
    var random = SplitMix64(seed: 10)
    var table = table { $0.bucketSize = 1 }
    let oldest = random.contact(inBucket: 9, of: Self.own)
    _ = table.insert(oldest, now: .start)
    func offer(_ second: Int) -> RoutingTable.InsertOutcome {
      table.insert(random.contact(inBucket: 9, of: Self.own), now: .seconds(second))
    }
    let ping = RoutingTable.InsertOutcome.pingOldest(table.contact(oldest.peerID)!)
    expect(offer(0), equals: ping)
    expect(offer(9), equals: .cached)
    expect(offer(10), equals: ping)
  }

  @Test func removalTakesFromTableAndCache() {
    var random = SplitMix64(seed: 11)
    var table = table { $0.bucketSize = 1 }
    let contacts = (0..<3).map { _ in random.contact(inBucket: 50, of: Self.own) }
    for contact in contacts { _ = table.insert(contact, now: .start) }
    expect(table.remove(contacts[2].peerID)?.peerID, equals: contacts[2].peerID)
    expect(table.remove(contacts[0].peerID)?.peerID, equals: contacts[0].peerID)
    #expect(table.contacts.map(\.peerID) == [contacts[1].peerID])
    expect(table.remove(contacts[0].peerID), equals: nil)
  }

  // MARK: Capacity

  @Test func aNearerContactDisplacesOneOfTheFarthestBucket() {
    var random = SplitMix64(seed: 12)
    var table = table { $0.capacity = 6 }
    let far = (0..<4).map { _ in random.contact(inBucket: 159, of: Self.own) }
    let middle = (0..<2).map { _ in random.contact(inBucket: 150, of: Self.own) }
    for (second, contact) in (far + middle).enumerated() { _ = table.insert(contact, now: .seconds(second)) }
    _ = table.failed(far[2].peerID)
    guard
      case .displaced(let first) = table.insert(
        random.contact(inBucket: 140, of: Self.own), now: .seconds(9)),
      case .displaced(let second) = table.insert(
        random.contact(inBucket: 140, of: Self.own), now: .seconds(9)),
      case .displaced(let third) = table.insert(
        random.contact(inBucket: 140, of: Self.own), now: .seconds(9))
    else {
      Issue.record("nothing displaced")
      return
    }
    // The failing one first, then the least recently seen.
    #expect([first, second, third].map(\.peerID) == [far[2], far[0], far[1]].map(\.peerID))
    // The last of the farthest bucket stays, and the next bucket gives way.
    guard
      case .displaced(let fourth) = table.insert(
        random.contact(inBucket: 140, of: Self.own), now: .seconds(9))
    else {
      Issue.record("nothing displaced")
      return
    }
    #expect(fourth.peerID == middle[0].peerID)
    #expect(table.contact(far[3].peerID) != nil)
    // Nothing farther to spare now: the newcomer waits, and the oldest of its own bucket is to be pinged.
    guard case .pingOldest = table.insert(random.contact(inBucket: 140, of: Self.own), now: .seconds(9))
    else {
      Issue.record("no ping asked")
      return
    }
    #expect(table.occupancy.map(\.bucket) == [140, 150, 159])
    #expect(violations(of: table) == [])
  }

  @Test func aFirstContactOfAFarBucketFindsRoomInAFullTable() {
    var random = SplitMix64(seed: 13)
    var table = table { $0.capacity = 3 }
    for _ in 0..<3 { _ = table.insert(random.contact(inBucket: 100, of: Self.own), now: .start) }
    guard case .displaced = table.insert(random.contact(inBucket: 159, of: Self.own), now: .start) else {
      Issue.record("no room made")
      return
    }
    guard case .displaced = table.insert(random.contact(inBucket: 120, of: Self.own), now: .start) else {
      Issue.record("no room made")
      return
    }
    expect(
      table.insert(random.contact(inBucket: 130, of: Self.own), now: .start), equals: .refused(.tableFull))
    #expect(table.counters.tableFull == 1)
  }

  @Test func aFreedPlaceIsFilledFromTheNearestBucketThatHasReplacements() {
    var random = SplitMix64(seed: 14)
    var table = table {
      $0.capacity = 4
      $0.failures = 1
    }
    let far = random.contact(inBucket: 159, of: Self.own)
    let near = (0..<5).map { _ in random.contact(inBucket: 90, of: Self.own) }
    _ = table.insert(far, now: .start)
    for contact in near { _ = table.insert(contact, now: .start) }
    #expect(table.count == 4)
    expect(table.failed(far.peerID), equals: .removed(replacement: table.contact(near[4].peerID)))
    #expect(table.contact(near[4].peerID) != nil)
  }

  // MARK: Prefix limits

  /// Without this check one operator's addresses fill a bucket.
  @Test func onePrefixHasTwoPlacesInABucketAndTenInTheTable() throws {
    var random = SplitMix64(seed: 15)
    var table = table()
    func offer(_ bucket: Int, _ host: Int) throws -> RoutingTable.InsertOutcome {
      let endpoint = try #require(Endpoint("192.0.2.\(host):8443"))
      return table.insert(random.contact(inBucket: bucket, of: Self.own, at: endpoint), now: .start)
    }
    for bucket in 150..<155 {
      try expect(offer(bucket, 1), equals: .inserted)
      try expect(offer(bucket, 2), equals: .inserted)
      try expect(offer(bucket, 3), equals: .refused(.bucketPrefixLimit))
    }
    try expect(offer(155, 4), equals: .refused(.tablePrefixLimit))
    #expect(table.counters.bucketPrefixLimit == 5)
    #expect(table.counters.tablePrefixLimit == 1)
    // A freed place can be taken again.
    table.remove(table.contacts[0].peerID)
    try expect(offer(155, 4), equals: .inserted)
  }

  @Test func aMovingContactIsHeldAgainstThePrefixItMovesTo() throws {
    var random = SplitMix64(seed: 16)
    var table = table()
    let crowded = try ["[2001:db8::1]:1", "[2001:db8:0:ff::1]:1"].map { (text: String) in
      let endpoint = Endpoint(text)
      return random.contact(inBucket: 155, of: Self.own, at: try #require(endpoint) as Endpoint)
    }
    for contact in crowded { expect(table.insert(contact, now: .start), equals: .inserted) }
    var mover = random.contact(inBucket: 155, of: Self.own)
    _ = table.insert(mover, now: .start)
    let before = mover.endpoint
    mover.endpoint = try #require(Endpoint("[2001:db8:0:1::1]:1"))
    expect(table.insert(mover, now: .seconds(1)), equals: .refused(.bucketPrefixLimit))
    #expect(table.contact(mover.peerID)?.endpoint == before)
    table.remove(crowded[0].peerID)
    expect(table.insert(mover, now: .seconds(1)), equals: .updated)
  }

  @Test func contactsThatMoveTakeTheirPlacesInATablesPrefixWithThem() throws {
    var random = SplitMix64(seed: 21)
    var table = table()
    let crowded = try #require(Endpoint("192.0.2.7:8443"))
    var movers: [Contact] = []
    for bucket in 150..<156 {
      for _ in 0..<2 { movers.append(random.contact(inBucket: bucket, of: Self.own)) }
    }
    for mover in movers { expect(table.insert(mover, now: .start), equals: .inserted) }
    func move(_ number: Int, to endpoint: Endpoint) -> RoutingTable.InsertOutcome {
      movers[number].endpoint = endpoint
      return table.insert(movers[number], now: .seconds(1))
    }
    for number in 0..<10 { expect(move(number, to: crowded), equals: .updated) }
    expect(move(10, to: crowded), equals: .refused(.tablePrefixLimit))
    expect(move(0, to: random.endpoint()), equals: .updated)
    expect(move(10, to: crowded), equals: .updated)
    expect(move(11, to: crowded), equals: .refused(.tablePrefixLimit))
  }

  @Test func aReplacementComesInOnlyIfItsPrefixStillHasAPlace() throws {
    var random = SplitMix64(seed: 22)
    var table = table {
      $0.bucketSize = 1
      $0.prefixPerTable = 1
    }
    let crowded = try #require(Endpoint("192.0.2.7:8443"))
    let first = random.contact(inBucket: 150, of: Self.own)
    let cached = random.contact(inBucket: 150, of: Self.own, at: crowded)
    let other = random.contact(inBucket: 151, of: Self.own, at: crowded)
    _ = table.insert(first, now: .start)
    _ = table.insert(cached, now: .start)
    #expect(table.replacementCount == 1)
    expect(table.insert(other, now: .start), equals: .inserted)
    table.remove(first.peerID)
    #expect(table.contact(cached.peerID) == nil && table.count == 1)
    table.remove(other.peerID)
    #expect(table.contact(cached.peerID) != nil && table.count == 1)
  }

  @Test func onePrefixCannotFillAReplacementCache() throws {
    var random = SplitMix64(seed: 17)
    var table = table { $0.bucketSize = 1 }
    _ = table.insert(random.contact(inBucket: 155, of: Self.own), now: .start)
    for host in 1...9 {
      let endpoint = try #require(Endpoint("192.0.2.\(host):8443"))
      _ = table.insert(random.contact(inBucket: 155, of: Self.own, at: endpoint), now: .start)
    }
    #expect(table.replacementCount == 2)
    #expect(table.counters.cachePrefixLimit == 7)
  }

  // MARK: Properties

  @Test(arguments: UInt64(1)...UInt64(12))
  func everyInvariantHoldsThroughARandomLife(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var table = RoutingTable(own: random.keyHash().peerID, now: .start)
    var known: [Contact] = []
    var everFilled: Set<Int> = []
    for second in 0..<2_500 {
      let now = Instant.seconds(second)
      switch Int.random(in: 0..<10, using: &random) {
      case 0, 1:
        if let contact = known.randomElement(using: &random) { table.seen(contact.peerID, now: now) }
      case 2:
        if let contact = known.randomElement(using: &random) { _ = table.failed(contact.peerID) }
      case 3:
        if var contact = known.randomElement(using: &random) {
          contact.endpoint = random.endpoint()
          contact.sequence += UInt64.random(in: 0...2, using: &random)
          _ = table.insert(contact, now: now)
        }
      default:
        let host = UInt32.random(in: 0..<4096, using: &random)
        let endpoint = Endpoint(.v4(0x0b00_0000 + host * 64), port: 1)
        // Buckets as in a network of a billion nodes, so that near ones occur too.
        let bucket = 159 - min(30, random.next().leadingZeroBitCount)
        let contact = random.contact(inBucket: bucket, of: table.own, at: endpoint)
        let before = table.occupancy.map(\.bucket)
        let outcome = table.insert(contact, now: now)
        switch outcome {
        case .inserted, .displaced: everFilled.insert(bucket)
        case .updated, .pingOldest, .cached, .refused: break
        }
        known.append(contact)
        // No insertion empties another bucket.
        #expect(Set(before).isSubset(of: table.occupancy.map(\.bucket)), "\(outcome)")
      }
      let found = violations(of: table)
      #expect(found == [], "seed \(seed), second \(second)")
      if !found.isEmpty { return }
    }
    #expect(table.count == 100)
    let target = random.keyHash().peerID
    let bruteForce = table.contacts.sorted {
      $0.peerID.distance(to: target) < $1.peerID.distance(to: target)
    }
    #expect(table.closest(to: target, count: 20) == Array(bruteForce.prefix(20)))
    #expect(table.closest(to: target, count: 1_000) == bruteForce)
    #expect(table.closest(to: target, count: 0) == [])
    #expect(table.closest(to: target, count: -1) == [])
  }

  /// The table of a light node is the nearest, and an even share of each far bucket, whatever the order of
  /// arrival.
  @Test(arguments: UInt64(1)...UInt64(6))
  func afterManyContactsTheNearestAreThereAndFarBucketsShareTheRest(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let own = random.keyHash().peerID
    var table = RoutingTable(own: own, now: .start)
    let all = (0..<4_000).map { _ in random.contact() }
    for contact in all { _ = table.insert(contact, now: .start) }
    #expect(table.count == 100)
    let offered = Dictionary(grouping: all) { own.distance(to: $0.peerID).bucketIndex! }.mapValues(\.count)
    #expect(Set(table.occupancy.map(\.bucket)) == Set(offered.keys))
    var within = 0
    for (bucket, count) in table.occupancy {
      within += offered[bucket]!
      if within <= table.limits.nearest { #expect(count == offered[bucket]!, "bucket \(bucket)") }
    }
    let far = table.occupancy.filter { offered[$0.bucket]! > 40 }.map(\.count)
    #expect(far.max()! - far.min()! <= 1)
    #expect(far.min()! >= 6)
  }
}
