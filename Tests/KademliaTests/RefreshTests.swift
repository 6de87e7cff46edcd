import MeshWire
import RepeatableRandom
import Testing

@testable import Kademlia

@Suite struct RefreshTests {
  @Test func anEmptyTableHasNothingToRefresh() {
    var table = RoutingTable(own: PeerID([UInt8](repeating: 7, count: 20))!, now: .start)
    #expect(table.refreshDeadline == nil)
    expect(table.refreshDue(now: .seconds(100_000), random: []), equals: nil)
  }

  @Test func eachBucketFromTheNearestContactOutwardsIsRefreshedOnceAnInterval() {
    var random = SplitMix64(seed: 1)
    let own = random.keyHash().peerID
    var table = RoutingTable(own: own, now: .start)
    _ = table.insert(random.contact(inBucket: 150, of: own), now: .start)
    #expect(table.refreshDeadline == .seconds(3600))
    expect(table.refreshDue(now: .seconds(3599), random: []), equals: nil)
    var refreshed: [Int] = []
    while let target = table.refreshDue(now: .seconds(3600), random: random.bytes(20)) {
      refreshed.append(own.distance(to: target).bucketIndex!)
    }
    #expect(refreshed == Array(150...159))
    #expect(table.refreshDeadline == .seconds(7200))
  }

  @Test func aLookUpThroughABucketPutsItsRefreshOff() {
    var random = SplitMix64(seed: 2)
    let own = random.keyHash().peerID
    var table = RoutingTable(own: own, now: .start)
    _ = table.insert(random.contact(inBucket: 159, of: own), now: .start)
    table.lookedUp(random.keyHash(inBucket: 159, of: own).peerID, now: .seconds(1000))
    table.lookedUp(own, now: .seconds(2000))
    #expect(table.refreshDeadline == .seconds(4600))
  }

  @Test(arguments: 0..<PeerID.bitWidth)
  func aRefreshTargetLiesInItsBucket(index: Int) throws {
    var random = SplitMix64(seed: UInt64(index))
    let table = RoutingTable(own: random.keyHash().peerID, now: .start)
    for noise in [[], random.bytes(20), [UInt8](repeating: 255, count: 20), random.bytes(40)] {
      let target = try #require(table.target(inBucket: index, random: noise))
      #expect(table.own.distance(to: target).bucketIndex == index)
    }
  }
}
