import MeshWire
import Testing

@testable import Simulation

@Suite struct NetworkTests {
  private let now = Instant(nanoseconds: 1_000_000_000)
  private let inner = Endpoint(.v4(0x0a00_0002), port: 8_443)
  private let first = Endpoint(.v4(0xc612_0101), port: 1)
  private let sameAddress = Endpoint(.v4(0xc612_0101), port: 2)
  private let elsewhere = Endpoint(.v4(0xc612_0201), port: 1)

  @Test(arguments: NATKind.all)
  func aNATMapsAndFiltersAsItsKindSays(_ kind: NATKind) throws {
    var nat = NAT(kind: kind, outer: .v4(0xc612_0901))
    let outerMapped = nat.translate(from: inner, to: first, now: now)
    let outer = try #require(outerMapped)
    let againMapped = nat.translate(from: inner, to: first, now: now)
    let again = try #require(againMapped)
    #expect(again == outer, "a mapping stays")
    #expect(nat.admit(to: outer.port, from: first, now: now) == inner, "whoever was sent to may answer")
    #expect(
      (nat.admit(to: outer.port, from: sameAddress, now: now) == inner)
        == (kind.filtering != .addressAndPortDependent))
    #expect(
      (nat.admit(to: outer.port, from: elsewhere, now: now) == inner)
        == (kind.filtering == .endpointIndependent))
    let otherMapped = nat.translate(from: inner, to: elsewhere, now: now)
    let other = try #require(otherMapped)
    #expect((other == outer) == (kind.mapping == .endpointIndependent))
  }

  @Test func aMappingIsGoneWhenNothingWentOut() throws {
    var nat = NAT(kind: .fullCone, outer: .v4(0xc612_0901))
    let outerMapped = nat.translate(from: inner, to: first, now: now)
    let outer = try #require(outerMapped)
    #expect(nat.admit(to: outer.port, from: first, now: now + .seconds(119)) == inner)
    #expect(nat.admit(to: outer.port, from: first, now: now + .seconds(120)) == nil)
    let laterMapped = nat.translate(from: inner, to: first, now: now + .seconds(120))
    let later = try #require(laterMapped)
    #expect(later != outer)
  }

  @Test func aLinkLosesDoublesAndTurnsAsOftenAsItSays() {
    var chance = Chance(seed: 1)
    var link = Link(quality: LinkQuality(loss: 0.1, duplication: 0.2, corruption: 0.3))
    let datagram = [UInt8](repeating: 0, count: 100)
    var arrived = 0
    var lost = 0
    var turned = 0
    for _ in 0..<20_000 {
      let copies = link.carry(datagram, now: now, chance: &chance)
      if copies.isEmpty { lost += 1 }
      arrived += copies.count
      turned += copies.count { $0.datagram != datagram }
    }
    #expect((1_850...2_150).contains(lost))
    #expect((21_200...22_000).contains(arrived), "0.9 × 1.2 × 20,000")
    #expect((6_200...6_800).contains(turned))
  }

  @Test func aLinkOfSomeBandwidthDelaysWhatWaitsAndCutsALongQueue() {
    var chance = Chance(seed: 1)
    var link = Link(quality: LinkQuality(delay: .milliseconds(10), bytesPerSecond: 10_000))
    let datagram = [UInt8](repeating: 0, count: 1_000)
    let arrivals = (0..<30).map { _ in link.carry(datagram, now: now, chance: &chance).first?.at }
    #expect(arrivals[0] == now + .milliseconds(110))
    #expect(arrivals[5] == now + .milliseconds(610))
    #expect(arrivals.compactMap { $0 }.count == 11, "a second's worth and the one under way")
  }

  @Test func tooLargeIsLost() {
    var chance = Chance(seed: 1)
    var link = Link(quality: LinkQuality(largestPayload: 1_232))
    #expect(link.carry([UInt8](repeating: 0, count: 1_232), now: now, chance: &chance).count == 1)
    #expect(link.carry([UInt8](repeating: 0, count: 1_233), now: now, chance: &chance).isEmpty)
  }

  @Test func aClockThatDriftsIsCalledInTime() {
    for drift in [-200, -1, 0, 1, 200] as [Int64] {
      let clock = HostClock(drift: drift)
      for seconds in [0, 1, 1_000, 100_000] as [UInt64] {
        let local = Instant(nanoseconds: 1_000_000_000_000 + seconds * 1_000_000_007)
        let read = clock.reading(clock.worldTime(local))
        #expect(read >= local && read - local <= .milliseconds(1))
      }
    }
  }
}
