import MeshCrypto
import MeshNode
import MeshPaths
import MeshWire

/// Watches everything that passes through a world, knowing what no node can: who really sent what.
public struct Monitor {
  /// The first that was broken; the world stands still then.
  public private(set) var violation: Violation?

  /// What was sealed under each receiver index, by sender.
  private var seals: [Sender: Seals] = [:]
  /// No key lives for so long; an index that comes again later names another one.
  private static let longestKeyLife = Duration.seconds(1_200)
  /// Packets that were sent and not yet delivered, by their number; delivered ones are taken out.
  private var expected: [UInt64: Expected] = [:]
  private var delivered = 0
  /// Bytes to and from addresses where nobody is, by host and address.
  private var exchanged: [Conversation: Exchange] = [:]
  /// Addresses that an attacker only pretends to have.
  private var forged: Set<Endpoint> = []
  private var nextNumber: UInt64 = 1
  private var hearsNobodyHonest: Set<HostID> = []

  private struct Sender: Hashable {
    let host: HostID
    let life: Int
    let index: UInt32
  }

  private struct Seals {
    /// The highest counter, and when it was sent.
    var last: (counter: UInt64, at: Instant)
    /// Hashes of the last datagrams: who sends one again as it was seals nothing.
    var recent: [Int]
    static let remembered = 256
  }

  private struct Conversation: Hashable {
    let host: HostID
    let address: Endpoint
  }

  private struct Exchange {
    var received = 0
    var sent = 0
  }

  private struct Expected {
    let to: HostID
    let packet: [UInt8]
  }

  private var lives: [HostID: Int] = [:]

  mutating func broken(_ invariant: Invariant, _ detail: String, now: Instant) {
    if violation == nil { violation = Violation(invariant: invariant, at: now, detail: detail) }
  }

  mutating func crashed(_ host: HostID) { lives[host, default: 0] += 1 }

  /// Nobody is at this address: whatever comes "from" it is an attacker's.
  mutating func declareForged(_ address: Endpoint) { forged.insert(address) }

  /// Bytes that hosts sent to forged addresses, beside those that came from them.
  public var reflected: (received: Int, sent: Int) {
    exchanged.values.reduce(into: (0, 0)) {
      $0.0 += $1.received
      $0.1 += $1.sent
    }
  }

  mutating func received(_ count: Int, at host: HostID, from source: Endpoint) {
    guard forged.contains(source) else { return }
    exchanged[Conversation(host: host, address: source), default: Exchange()].received += count
  }

  mutating func sent(_ datagram: [UInt8], from host: HostID, to destination: Endpoint, now: Instant) {
    if forged.contains(destination) {
      let conversation = Conversation(host: host, address: destination)
      exchanged[conversation, default: Exchange()].sent += datagram.count
      if let exchange = exchanged[conversation], exchange.sent > 3 * exchange.received {
        broken(
          .noAmplification,
          "host \(host.number) has sent \(exchange.sent) bytes to \(destination), \(exchange.received) came",
          now: now)
      }
    }
    guard datagram.first == 1, datagram.count >= 16, !isSTUN(datagram) else { return }
    let index = datagram[4..<8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    let counter = datagram[8..<16].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    let sender = Sender(host: host, life: lives[host, default: 0], index: index)
    let hash = datagram.hashValue
    guard let last = seals[sender]?.last, now - last.at < Self.longestKeyLife else {
      seals[sender] = Seals(last: (counter, now), recent: [hash])
      return
    }
    if counter <= last.counter {
      guard seals[sender]?.recent.contains(hash) != true else { return }
      broken(
        .noCounterTwice,
        "host \(host.number) sealed counter \(counter) after \(last.counter) under index \(index)",
        now: now)
    }
    seals[sender]?.last = (counter, now)
    if seals[sender]?.recent.count == Seals.remembered { seals[sender]?.recent.removeFirst() }
    seals[sender]?.recent.append(hash)
  }

  /// A public node's answer to whoever asks how far it is: told from what a session sends as nodes do.
  private func isSTUN(_ datagram: [UInt8]) -> Bool {
    datagram[1] != 0 && STUNMessage.hasCookie(datagram.span)
  }

  /// A number for a packet's payload, by which it is known when it comes out.
  mutating func expect(at host: HostID, _ packet: (UInt64) -> [UInt8]) -> (number: UInt64, packet: [UInt8]) {
    defer { nextNumber += 1 }
    let bytes = packet(nextNumber)
    expected[nextNumber] = Expected(to: host, packet: bytes)
    return (nextNumber, bytes)
  }

  /// Packets of ``expect(at:_:)`` that came out.
  public var deliveredCount: Int { delivered }

  func isDelivered(_ number: UInt64) -> Bool { number < nextNumber && expected[number] == nil }

  mutating func delivered(_ packet: [UInt8], at host: HostID, now: Instant) {
    guard let number = TestPacket.number(of: packet) else { return }
    guard let packetSent = expected.removeValue(forKey: number) else {
      return broken(
        number < nextNumber ? .noPacketTwice : .authenticity,
        "packet \(number) came out at host \(host.number) again, or was never sent", now: now)
    }
    if packetSent.to != host || packetSent.packet != packet {
      broken(.authenticity, "packet \(number) came out changed, or at host \(host.number)", now: now)
    }
    delivered += 1
  }

  /// Nobody honest speaks to this host, so nothing that comes can hold a valid cookie.
  mutating func setHearsNobodyHonest(_ hearsNobody: Bool, _ host: HostID) {
    if hearsNobody { hearsNobodyHonest.insert(host) } else { hearsNobodyHonest.remove(host) }
  }

  mutating func asked(_ job: CryptoJob, at host: HostID, now: Instant) {
    guard hearsNobodyHonest.contains(host) else { return }
    broken(.noWorkBeforeCookie, "host \(host.number) was made to compute by forged addresses", now: now)
  }

  /// Looks at the bounds of one node's tables.
  mutating func inspect(_ host: HostID, _ load: NodeLoad, now: Instant) {
    if let excess = load.excess {
      broken(.boundedTables, "host \(host.number): \(excess)", now: now)
    }
  }
}

/// IPv6 packets that the monitor knows again: UDP with a number in the payload.
enum TestPacket {
  private static let mark: [UInt8] = Array("shadowmesh-sim".utf8)

  static func packet(_ number: UInt64, from: PeerID, to: PeerID, size: Int) -> [UInt8] {
    var payload = mark
    payload.append(bigEndian: number)
    payload += (0..<max(0, size)).map { UInt8(truncatingIfNeeded: UInt64($0) &* 31 &+ number) }
    var bytes: [UInt8] = [0x60, 0, 0, 0]
    bytes.append(bigEndian: UInt16(8 + payload.count))
    bytes += [17, 64] + OverlayAddress(of: from).address.bytes + OverlayAddress(of: to).address.bytes
    bytes.append(bigEndian: UInt16(1_000))
    bytes.append(bigEndian: UInt16(2_000))
    bytes.append(bigEndian: UInt16(8 + payload.count))
    return bytes + [0, 0] + payload
  }

  static func number(of packet: [UInt8]) -> UInt64? {
    let start = 48 + mark.count
    guard packet.count >= start + 8, Array(packet[48..<start]) == mark else { return nil }
    return packet[start..<start + 8].reduce(0) { $0 << 8 | UInt64($1) }
  }
}
