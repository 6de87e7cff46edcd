import MeshCrypto
import MeshWire
import Testing

@testable import MeshRelay

@Suite("Choosing relays")
struct RelaySelectionTests {
  private let now = Instant(nanoseconds: 1_000_000_000_000)
  private let own: KeyHash

  init() throws { own = try #require(KeyHash([UInt8](repeating: 1, count: 32))) }

  private func relay(
    _ number: UInt8, prefix: UInt32? = nil, operatorName: String = "", region: String = "europe",
    servesStreams: Bool = false
  ) throws -> RelayProfile {
    RelayProfile(
      keyHash: try #require(KeyHash([UInt8](repeating: number, count: 32))),
      endpoint: Endpoint(.v4((prefix ?? UInt32(number)) << 8 | UInt32(number)), port: 8_443),
      onionKey: try #require(KeyExchangeOffer([UInt8](repeating: number, count: 1_600))),
      operatorName: try #require(OperatorName(operatorName)), region: try #require(Region(region)),
      servesStreams: servesStreams)
  }

  private func key(_ number: UInt8) throws -> KeyHash {
    try #require(KeyHash([UInt8](repeating: number, count: 32)))
  }

  @Test("no two relays of a chain have one operator or one prefix")
  func kin() throws {
    var selection = RelaySelection()
    let last = try relay(10, prefix: 1, operatorName: "a")
    selection.set([
      last, try relay(11, prefix: 1), try relay(12, operatorName: "a"), try relay(13, operatorName: "b"),
      try relay(14, operatorName: "b"), try relay(15),
    ])
    for random in 0..<50 as Range<UInt64> {
      let chain = selection.chain(to: last, hops: 3, avoiding: own, now: now, random: random)
      let keys = try #require(chain).map(\.keyHash)
      #expect(keys.count == 3 && keys.last == last.keyHash)
      #expect(try !keys.contains(key(11)) && !keys.contains(key(12)))
      #expect(try !(keys.contains(key(13)) && keys.contains(key(14))))
    }
    selection.set([last, try relay(11, prefix: 1), try relay(12, operatorName: "a"), try relay(13)])
    let three = selection.chain(to: last, hops: 3, avoiding: own, now: now, random: 0)
    #expect(three == nil)
    let two = selection.chain(to: last, hops: 2, avoiding: own, now: now, random: 0)
    #expect(two?.count == 2)
    let none = selection.chain(to: last, hops: 2, avoiding: try key(13), now: now, random: 0)
    #expect(none == nil)
  }

  @Test("the middle lies in another region where there is one")
  func regions() throws {
    var selection = RelaySelection()
    let last = try relay(10)
    selection.set([last, try relay(11), try relay(12), try relay(13, region: "asia"), try relay(14)])
    selection.setEntry(try key(11))
    for random in 0..<20 as Range<UInt64> {
      let chain = selection.chain(to: last, hops: 3, avoiding: own, now: now, random: random)
      #expect(try #require(chain)[1].keyHash == key(13))
    }
  }

  @Test("the entry stays the same for as long as it keeps its promises, and longer than somebody is faster")
  func stickyEntry() throws {
    var selection = RelaySelection()
    let last = try relay(10)
    selection.set([last] + (try (11..<20).map { try relay($0) }))
    selection.measured(try key(12), .milliseconds(5))
    func entry() -> KeyHash? {
      selection.chain(to: last, hops: 2, avoiding: own, now: now, random: 0)?.first?.keyHash
    }
    #expect(try entry() == key(12))
    selection.measured(try key(13), .milliseconds(1))
    #expect(try entry() == key(12))
    selection.brokePromise(try key(12), now: now)
    #expect(try entry() == key(13))
    // An entry that is kin of one chain's last relay is spared for this chain only.
    let kin = try relay(10, prefix: 13)
    let chain = selection.chain(to: kin, hops: 2, avoiding: own, now: now, random: 0)
    #expect(try #require(chain).first?.keyHash != key(13))
    #expect(try entry() == key(13))
  }

  @Test("measured latency and kept promises decide, not claims; who failed rests, longer each time")
  func ranking() throws {
    var selection = RelaySelection()
    selection.set(try (10..<14).map { try relay($0) })
    selection.measured(try key(13), .milliseconds(20))
    selection.measured(try key(12), .milliseconds(40))
    let (a, b) = (try key(12), try key(13))
    #expect(selection.ranked(now: now).map(\.keyHash).prefix(2) == [b, a])
    for _ in 0..<4 {
      selection.brokePromise(try key(13), now: now)
      selection.keptPromise(try key(12))
    }
    #expect(try selection.isResting(key(13), now: now + .seconds(159)))
    #expect(try !selection.isResting(key(13), now: now + .seconds(160)))
    #expect(!selection.ranked(now: now).contains { $0.keyHash == (try? key(13)) })
    let later = selection.ranked(now: now + .seconds(160)).map(\.keyHash)
    #expect(try later.first == key(12) && later.contains(key(13)))
    // The last one for somebody who is reached nowhere else.
    #expect(try selection.order([key(13), key(11)], now: now) == [key(11), key(13)])
  }

  @Test("when all others rest they are taken all the same, and each attempt at once leaves others out")
  func attempts() throws {
    var selection = RelaySelection()
    let places = [try relay(12), try relay(13)]
    selection.set(try [relay(10), relay(11)] + places)
    for number in 11...13 as ClosedRange<UInt8> { selection.brokePromise(try key(number), now: now) }
    var chains: [[KeyHash]] = []
    for _ in 0..<3 {
      let trying = TriedRelays(chains)
      let ends = selection.order(places.map(\.keyHash), trying: trying, now: now)
      let last = try #require(selection.profile(ends[0]))
      let chain = selection.chain(
        to: last, hops: 3, avoiding: own, trying: trying, now: now, random: UInt64(chains.count))
      chains.append(try #require(chain).map(\.keyHash))
    }
    // Whichever of the three that rest has failed, one chain does without it.
    for number in 11...13 as ClosedRange<UInt8> {
      let relay = try key(number)
      #expect(chains.contains { !$0.contains(relay) })
    }
  }

  @Test("an entry that is silent is left out of all attempts but the first, and stays the entry")
  func silentEntry() throws {
    var selection = RelaySelection(entry: try key(11))
    let last = try relay(10)
    selection.set([last] + (try (11..<14).map { try relay($0) }))
    let first = selection.chain(
      to: last, hops: 2, avoiding: own, trying: TriedRelays(doubted: try key(11)), now: now, random: 0)
    #expect(try #require(first)[0].keyHash == key(11))
    let tried = [try #require(first).map(\.keyHash)]
    let answering = selection.chain(
      to: last, hops: 2, avoiding: own, trying: TriedRelays(tried), now: now, random: 0)
    #expect(try #require(answering)[0].keyHash == key(11))
    let silent = selection.chain(
      to: last, hops: 2, avoiding: own, trying: TriedRelays(tried, doubted: try key(11)), now: now, random: 0)
    #expect(try #require(silent)[0].keyHash != key(11))
    #expect(try selection.entry == key(11))
  }

  @Test("a list that leaves the entry out changes nothing for it, for as long as it keeps its promises")
  func entryOutlastsLists() throws {
    var selection = RelaySelection(entry: try key(11))
    let last = try relay(10)
    let others = try (12..<16).map { try relay($0) }
    selection.set([last, try relay(11)] + others)
    selection.set([last] + others)
    func entry() -> KeyHash? {
      selection.chain(to: last, hops: 2, avoiding: own, now: now, random: 0)?.first?.keyHash
    }
    #expect(try entry() == key(11))
    selection.brokePromise(try key(11), now: now)
    selection.set([last] + others)
    #expect(try selection.profile(key(11)) == nil)
    #expect(try entry() != key(11))
  }

  @Test("an entry that was saved stays it until its record is known, but not for ever")
  func savedEntry() throws {
    let last = try relay(10)
    let others = try (12..<16).map { try relay($0) }
    var selection = RelaySelection()
    selection.setEntry(try key(11))
    func entry() -> KeyHash? {
      selection.chain(to: last, hops: 2, avoiding: own, now: now, random: 0)?.first?.keyHash
    }
    selection.set([last] + others)
    #expect(try selection.unknownEntry == key(11))
    #expect(try entry() != key(11), "chains are built meanwhile")
    #expect(try selection.entry == key(11))
    var found = selection
    found.add(try relay(11))
    let chain = found.chain(to: last, hops: 2, avoiding: own, now: now, random: 0)
    #expect(try chain?.first?.keyHash == key(11))
    for _ in 0..<RelaySelection.patience { selection.set([last] + others) }
    #expect(entry() == selection.entry)
    #expect(try selection.entry != key(11))
  }

  @Test("where UDP is blocked, chains begin and places are at relays that serve streams, if there are any")
  func streams() throws {
    let last = try relay(10)
    var selection = RelaySelection(entry: try key(11))
    selection.set([
      last, try relay(11), try relay(12), try relay(13, servesStreams: true), try relay(14),
    ])
    selection.measured(try key(12), .milliseconds(1))
    func entry() -> KeyHash? {
      selection.chain(to: last, hops: 3, avoiding: own, now: now, random: 0)?.first?.keyHash
    }
    func place() -> KeyHash? {
      selection.reservable(1, held: [], avoiding: own, now: now).first?.keyHash
    }
    #expect(try entry() == key(11))
    #expect(try place() == key(12))
    selection.needsStreams = true
    #expect(try entry() == key(13))
    #expect(try place() == key(13))
    #expect(try selection.order([key(12), key(13)], asNeighbours: true, now: now).first == key(13))
    #expect(try selection.order([key(12), key(13)], now: now).first == key(12), "reached by another relay")
    #expect(try selection.entry == key(11), "for when UDP works again")
    selection.set([last, try relay(12), try relay(14)])
    #expect(entry() != nil, "nobody serves streams: perhaps UDP works after all")
  }

  @Test("places are reserved at relays that differ in prefix and operator")
  func reservable() throws {
    var selection = RelaySelection()
    selection.set([
      try relay(10, prefix: 1), try relay(11, prefix: 1), try relay(12, operatorName: "a"),
      try relay(13, operatorName: "a"), try relay(14),
    ])
    selection.measured(try key(10), .milliseconds(1))
    selection.measured(try key(12), .milliseconds(2))
    let two = selection.reservable(2, held: [], avoiding: own, now: now).map(\.keyHash)
    #expect(try two == [key(10), key(12)])
    let third = selection.reservable(2, held: two, avoiding: own, now: now).map(\.keyHash)
    #expect(try third == [key(14)])
  }

  @Test("broken promises are remembered while lists leave a relay out, the worst of them, and so many")
  func rememberedScores() throws {
    var selection = RelaySelection()
    let all = try (10..<14).map { try relay($0) }
    selection.set(all)
    selection.brokePromise(try key(10), now: now)
    selection.set(Array(all.dropFirst()))
    selection.set(all)
    #expect(try selection.isResting(key(10), now: now))
    let last = selection.ranked(now: now + .seconds(3_600)).last?.keyHash
    #expect(try last == key(10))
    #expect(selection.scoresForgotten == 0)
    let many = try many(300)
    for part in [many[..<256], many[256...]] {
      selection.set(Array(part))
      for relay in part { selection.brokePromise(relay.keyHash, now: now) }
    }
    selection.set([])
    // One of the first four, and these.
    #expect(selection.scoresForgotten == 301 - 256)
  }

  @Test("relays in mind are bounded, and there is room for the entry that was saved")
  func bounded() throws {
    var selection = RelaySelection()
    let many = try many(300)
    selection.set(many)
    #expect(selection.count == RelaySelection.limit)
    selection.add(many[299])
    #expect(selection.count == RelaySelection.limit)
    selection.setEntry(many[299].keyHash)
    selection.add(many[299])
    selection.add(many[298])
    #expect(selection.count == RelaySelection.limit + 1)
    #expect(selection.unknownEntry == nil)
  }

  private func many(_ count: Int) throws -> [RelayProfile] {
    try (0..<count).map { number in
      RelayProfile(
        keyHash: try #require(KeyHash(Primitives.sha256([UInt8(number & 255), UInt8(number >> 8)]))),
        endpoint: Endpoint(.v4(UInt32(number) << 8), port: 1),
        onionKey: try #require(KeyExchangeOffer([UInt8](repeating: 0, count: 1_600))),
        operatorName: .unnamed, region: try #require(Region("europe")))
    }
  }
}
