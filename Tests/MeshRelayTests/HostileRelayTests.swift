import MeshCrypto
import MeshWire
import Testing

@testable import MeshRelay

@Suite("Relays that break their promises")
struct HostileRelayTests {
  private let start = Instant(nanoseconds: 1_000_000_000_000)
  private let own: KeyHash

  init() throws { own = try #require(KeyHash([UInt8](repeating: 1, count: 32))) }

  private func key(_ number: UInt8) throws -> KeyHash {
    try #require(KeyHash([UInt8](repeating: number, count: 32)))
  }

  private func relay(_ number: UInt8) throws -> RelayProfile {
    RelayProfile(
      keyHash: try key(number), endpoint: Endpoint(.v4(UInt32(number) << 8), port: 8_443),
      onionKey: try #require(KeyExchangeOffer([UInt8](repeating: number, count: 1_600))),
      operatorName: .unnamed, region: try #require(Region("europe")))
  }

  /// A choice of relays that failures are told to.
  private final class Choice {
    var selection = RelaySelection()

    func fail(
      _ circuit: UInt32, _ path: [UInt8], entryAnswers: Bool = true, carried: Duration = .zero,
      at now: Instant
    ) throws -> Bool {
      selection.chainFailed(
        CircuitNumber(number: circuit),
        through: try path.map { try #require(KeyHash([UInt8](repeating: $0, count: 32))) },
        entryAnswers: entryAnswers, carried: carried, now: now)
    }
  }

  /// Relays 10 and 20, where somebody is reached, and eight others; 11 is the nearest, and the entry.
  private func nearEntry() throws -> Choice {
    let choice = Choice()
    choice.selection.set(try ([10, 20] + Array(11..<19)).map { try relay($0) })
    for number in 11..<19 as Range<UInt8> {
      choice.selection.measured(try key(number), .milliseconds(number == 11 ? 1 : 100))
    }
    let chain = choice.selection.chain(to: try relay(10), hops: 2, avoiding: own, now: start, random: 0)
    #expect(try #require(chain).first?.keyHash == key(11))
    return choice
  }

  @Test("one that is next door, lets circuits stand and drops what they carry loses to far ones that carry")
  func nearAndHostile() throws {
    let choice = Choice()
    choice.selection.set(try (10..<14).map { try relay($0) })
    for number in 10..<14 as Range<UInt8> {
      choice.selection.measured(try key(number), .milliseconds(number == 10 ? 1 : 150))
    }
    var chosen = 0
    for round in 0..<100 as Range<UInt32> {
      // Whoever rested may be chosen again.
      let now = start + .seconds(3_600) * Int(round)
      let best = choice.selection.ranked(now: now)[0].keyHash
      choice.selection.keptPromise(best)
      if try best == key(10) {
        chosen += 1
        _ = try choice.fail(round, [10], carried: .seconds(1), at: now)
      } else {
        choice.selection.carried([best])
      }
    }
    #expect((1...3).contains(chosen))
  }

  @Test("it rests longer each time, though its circuits stand; a chain that carried for a while resets that")
  func restsLonger() throws {
    let choice = Choice()
    choice.selection.set([try relay(10)])
    var now = start
    for (circuit, rest) in [20, 40, 80].enumerated() {
      choice.selection.keptPromise(try key(10))
      _ = try choice.fail(UInt32(circuit), [10], carried: .seconds(29), at: now)
      // It is said of each circuit once.
      _ = try choice.fail(UInt32(circuit), [10], carried: .seconds(29), at: now)
      #expect(try choice.selection.isResting(key(10), now: now + .seconds(rest - 1)))
      #expect(try !choice.selection.isResting(key(10), now: now + .seconds(rest)))
      now = now + .seconds(rest)
    }
    _ = try choice.fail(9, [10], carried: .seconds(30), at: now)
    #expect(try !choice.selection.isResting(key(10), now: now + .seconds(20)))
    choice.selection.carried([try key(10)])
    #expect(try !choice.selection.isResting(key(10), now: now))
  }

  @Test("an entry that answers is given up when chains fail that have nothing else in common, and not before")
  func droppingEntry() throws {
    let choice = try nearEntry()
    #expect(try !choice.fail(1, [11, 10], at: start))
    #expect(try !choice.fail(2, [11, 20], at: start))
    #expect(try !choice.fail(2, [11, 20], at: start), "said twice")
    #expect(try choice.selection.entry == key(11))
    #expect(try choice.fail(3, [11, 10], at: start))
    #expect(choice.selection.entry == nil)
    for bystander in [10, 20] as [UInt8] {
      #expect(try !choice.selection.isResting(key(bystander), now: start))
    }
    let chain = choice.selection.chain(to: try relay(10), hops: 2, avoiding: own, now: start, random: 0)
    #expect(try #require(chain).first?.keyHash != key(11))
    #expect(choice.selection.entry == chain?.first?.keyHash)
  }

  @Test("an entry at which somebody is reached, too, is found out by chains that end there")
  func droppingEntryIsAPlace() throws {
    let choice = try nearEntry()
    #expect(try !choice.fail(1, [12, 11], at: start))
    #expect(try !choice.fail(2, [11, 10], at: start))
    #expect(try choice.selection.entry == key(11))
    #expect(try choice.fail(3, [11, 10], at: start))
  }

  @Test("of relays that all rest, who was in the fewest failed chains is taken; to stand ends no rest")
  func fewestFailures() throws {
    let choice = Choice()
    choice.selection.set(try [10, 20, 11, 12].map { try relay($0) })
    for number in [10, 20, 11, 12] as [UInt8] {
      choice.selection.measured(try key(number), .milliseconds(number == 11 ? 1 : 100))
    }
    let first = choice.selection.chain(to: try relay(10), hops: 3, avoiding: own, now: start, random: 1)
    #expect(try first?.map(\.keyHash) == [key(11), key(20), key(10)] || first?[1].keyHash == key(12))
    #expect(try !choice.fail(1, [11, 12, 10], at: start))
    for relay in [11, 12, 10] as [UInt8] { choice.selection.keptPromise(try key(relay)) }
    #expect(try choice.selection.isResting(key(12), now: start))
    #expect(try !choice.fail(2, [11, 12, 20], at: start))
    for relay in [11, 12, 20] as [UInt8] { choice.selection.keptPromise(try key(relay)) }
    let place = try relay(20)
    for random in 0..<10 as Range<UInt64> {
      let chain = choice.selection.chain(to: place, hops: 3, avoiding: own, now: start, random: random)
      #expect(try chain?.map(\.keyHash) == [key(11), key(10), key(20)])
    }
  }

  @Test("who is in all chains that fail takes the blame, and the entry stays")
  func droppingMiddle() throws {
    let choice = try nearEntry()
    for circuit in 0..<20 as Range<UInt32> {
      #expect(try !choice.fail(circuit, [11, UInt8(12 + circuit % 6), 10], at: start))
    }
    #expect(try choice.selection.entry == key(11))
    #expect(try choice.selection.isResting(key(10), now: start))
  }

  @Test("what came through the entry in between clears it")
  func cleared() throws {
    let choice = try nearEntry()
    for circuit in 0..<20 as Range<UInt32> {
      #expect(try !choice.fail(2 * circuit, [11, 10], at: start))
      #expect(try !choice.fail(2 * circuit + 1, [11, 20], at: start))
      choice.selection.carried([try key(11), try key(20)])
    }
    for circuit in 100..<120 as Range<UInt32> {
      let last: UInt8 = circuit.isMultiple(of: 2) ? 10 : 20
      #expect(try !choice.fail(circuit, [11, last], carried: RelaySelection.lasting, at: start))
    }
    #expect(try choice.selection.entry == key(11))
  }

  @Test("an entry that doesn't answer is given up at once, also where those behind it were blamed before")
  func deadEntry() throws {
    let choice = try nearEntry()
    #expect(try !choice.fail(1, [11, 10], at: start))
    #expect(try !choice.fail(1, [11, 10], entryAnswers: false, at: start))
    #expect(choice.selection.entry == nil)
    #expect(try choice.selection.isResting(key(11), now: start))
  }

  @Test("whoever stops all chains from behind has three relays take turns as the entry, and never a fourth")
  func turns() throws {
    let choice = try nearEntry()
    var entries: [KeyHash] = []
    for round in 0..<200 as Range<UInt32> {
      let now = start + .seconds(Int64(round))
      let last: UInt8 = round.isMultiple(of: 2) ? 10 : 20
      let chain = choice.selection.chain(
        to: try relay(last), hops: 3, avoiding: own, now: now, random: UInt64(round / 2))
      let path = try #require(chain).map(\.keyHash)
      let entry = try #require(choice.selection.entry)
      #expect(path.first == entry)
      if entries.last != entry { entries.append(entry) }
      _ = choice.selection.chainFailed(
        CircuitNumber(number: round), through: path, entryAnswers: true, carried: .zero, now: now)
    }
    #expect(Set(entries).count == 3)
    #expect(entries.count > 10)
  }

  @Test("a peer's circuit that falls silent at our entry doesn't cost the entry its place")
  func silentPeer() throws {
    let choice = try nearEntry()
    for circuit in 0..<20 as Range<UInt32> { #expect(try !choice.fail(circuit, [11], at: start)) }
    #expect(try choice.selection.entry == key(11))
    #expect(try !choice.selection.isResting(key(11), now: start))
  }
}
