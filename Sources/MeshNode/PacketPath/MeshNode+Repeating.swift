import MeshPaths
import MeshWire

/// What goes out while the path in use is asked whether it carries anything is most likely lost. The last
/// datagrams go again by the path that takes its place: TCP repeats ever more rarely, and what it sent into
/// the silence would be missed for as long again as the silence was. They go as they were sealed, so that
/// whoever has got one already drops it as a replay: no packet comes out twice.
struct UnsureDatagrams {
  /// Datagrams to one peer; those that came first make room.
  static let limit = 32
  /// What is older is repeated by whoever sent it, or wanted by nobody.
  static let life = Duration.seconds(5)

  private var datagrams: [(bytes: [UInt8], sentAt: Instant)] = []

  /// Returns whether another had to make room.
  mutating func keep(_ datagram: Span<UInt8>, now: Instant) -> Bool {
    let isFull = datagrams.count >= Self.limit
    if isFull { datagrams.removeFirst() }
    datagrams.append((Array(copying: datagram), now))
    return isFull
  }

  /// Those to send again, in order; none is left.
  mutating func take(now: Instant) -> [[UInt8]] {
    defer { datagrams = [] }
    return datagrams.filter { now - $0.sentAt <= Self.life }.map(\.bytes)
  }
}

extension MeshNode {
  /// Keeps what is sent while the path in use may be silent.
  mutating func keepIfUnsure(_ datagram: Span<UInt8>, slot: Int, now: Instant) {
    guard neighbours.entriesInPlace[slot].paths.isAsked else { return }
    if neighbours.entriesInPlace[slot].unsure.keep(datagram, now: now) { counters.repeatsForgone += 1 }
  }

  /// Another path has taken the place of one that was silent. What it can't carry for its size is forgone.
  mutating func repeatUnsure(_ slot: Int, by endpoint: Endpoint, now: Instant) {
    let limit = pathLimit(slot, to: endpoint) ?? .max
    for datagram in neighbours.entries[slot].unsure.take(now: now) {
      guard datagram.count <= limit else {
        counters.repeatsForgone += 1
        continue
      }
      counters.datagramsRepeated += 1
      if case .circuit(let circuit) = endpoint.carrier {
        sendThrough(circuit, datagram.span)
      } else {
        emit(.send(datagram, to: endpoint))
      }
    }
  }
}
