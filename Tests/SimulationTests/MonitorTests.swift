import MeshCrypto
import MeshNode
import MeshWire
import Testing

@testable import Simulation

/// That each invariant is noticed when it is broken.
@Suite struct MonitorTests {
  private let now = Instant(nanoseconds: 1_000_000_000_000)
  private let host = HostID(number: 0)
  private let other = HostID(number: 1)
  private let address = Endpoint(.v4(0xc612_0101), port: 1)
  private var identities: (PeerID, PeerID) {
    var chance = Chance(seed: 5)
    return (
      SimulatedIdentity.standIn(&chance).publicKey.keyHash.peerID,
      SimulatedIdentity.standIn(&chance).publicKey.keyHash.peerID
    )
  }

  private func transport(_ index: UInt32, _ counter: UInt64) -> [UInt8] {
    var datagram: [UInt8] = [1, 0, 0, 0]
    datagram.append(bigEndian: index)
    datagram.append(bigEndian: counter)
    return datagram + [UInt8](repeating: 0, count: 16)
  }

  @Test func aCounterThatComesAgainUnderOneIndexIsNoticed() {
    var monitor = Monitor()
    monitor.sent(transport(7, 0), from: host, to: address, now: now)
    monitor.sent(transport(8, 0), from: host, to: address, now: now)
    monitor.sent(transport(7, 1), from: host, to: address, now: now)
    // The same datagram once more is sealed no second time.
    monitor.sent(transport(7, 1), from: host, to: address, now: now)
    #expect(monitor.violation == nil)
    var other = transport(7, 1)
    other[other.count - 1] ^= 1
    monitor.sent(other, from: host, to: address, now: now)
    #expect(monitor.violation?.invariant == .noCounterTwice)
  }

  @Test func aPacketThatComesOutTwiceIsNoticed() {
    var monitor = Monitor()
    let (from, to) = identities
    let (_, packet) = monitor.expect(at: other) { TestPacket.packet($0, from: from, to: to, size: 10) }
    monitor.delivered(packet, at: other, now: now)
    #expect(monitor.violation == nil)
    monitor.delivered(packet, at: other, now: now)
    #expect(monitor.violation?.invariant == .noPacketTwice)
  }

  @Test func aPacketThatComesOutChangedOrElsewhereIsNoticed() {
    let (from, to) = identities
    for (place, changes) in [(host, false), (other, true)] {
      var monitor = Monitor()
      var (_, packet) = monitor.expect(at: other) { TestPacket.packet($0, from: from, to: to, size: 10) }
      if changes { packet[packet.count - 1] ^= 1 }
      monitor.delivered(packet, at: place, now: now)
      #expect(monitor.violation?.invariant == .authenticity)
    }
  }

  @Test func moreThanThreeTimesToAForgedAddressIsNoticed() {
    var monitor = Monitor()
    monitor.declareForged(address)
    monitor.received(100, at: host, from: address)
    monitor.sent([UInt8](repeating: 3, count: 300), from: host, to: address, now: now)
    #expect(monitor.violation == nil)
    monitor.sent([3], from: host, to: address, now: now)
    #expect(monitor.violation?.invariant == .noAmplification)
  }

  @Test func workForForgedAddressesIsNoticed() {
    var monitor = Monitor()
    monitor.asked(.makeOffer, at: host, now: now)
    monitor.setHearsNobodyHonest(true, host)
    monitor.asked(.makeOffer, at: other, now: now)
    #expect(monitor.violation == nil)
    monitor.asked(.makeOffer, at: host, now: now)
    #expect(monitor.violation?.invariant == .noWorkBeforeCookie)
  }

  @Test func aTableOverItsBoundIsNoticed() {
    var monitor = Monitor()
    var load = NodeLoad(
      halfOpens: 1_024, controlSessions: 256, peers: 256, records: 512, lookups: 64, jobs: 0)
    monitor.inspect(host, load, now: now)
    #expect(monitor.violation == nil)
    load.halfOpens += 1
    monitor.inspect(host, load, now: now)
    #expect(monitor.violation?.invariant == .boundedTables)
  }
}
