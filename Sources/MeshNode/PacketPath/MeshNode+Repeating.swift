import MeshPaths
import MeshWire

/// What goes out while the path in use is asked whether it carries anything is most likely lost. The last
/// of it goes again by the path that takes its place: TCP repeats ever more rarely, and what it sent into the
/// silence would be missed for as long again as the silence was. A packet may arrive twice (RFC 8085
/// §3.3).
struct UnsurePackets {
  /// Packets of one peer; those that came first make room.
  static let limit = 16
  /// What is older is repeated by whoever sent it, or wanted by nobody.
  static let life = Duration.seconds(5)

  private var packets: [(bytes: [UInt8], sentAt: Instant)] = []

  /// Returns whether another had to make room.
  mutating func keep(_ packet: Span<UInt8>, now: Instant) -> Bool {
    let isFull = packets.count >= Self.limit
    if isFull { packets.removeFirst() }
    packets.append((Array(copying: packet), now))
    return isFull
  }

  /// Those to send again, in order; none is left.
  mutating func take(now: Instant) -> [[UInt8]] {
    defer { packets = [] }
    return packets.filter { now - $0.sentAt <= Self.life }.map(\.bytes)
  }
}

extension MeshNode {
  /// Keeps what is sent while the path in use may be silent.
  mutating func keepIfUnsure(_ packet: Span<UInt8>, slot: Int, now: Instant) {
    guard neighbours.entriesInPlace[slot].paths.isAsked else { return }
    if neighbours.entriesInPlace[slot].unsure.keep(packet, now: now) { counters.repeatsForgone += 1 }
  }

  /// Another path has taken the place of one that was silent.
  mutating func repeatUnsure(_ slot: Int, now: Instant) {
    let packets = neighbours.entries[slot].unsure.take(now: now)
    counters.packetsRepeated += UInt64(packets.count)
    sendFromHere(packets, now: now)
  }
}
