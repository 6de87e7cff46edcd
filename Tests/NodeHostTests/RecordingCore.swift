import MeshCrypto
import MeshNode
import MeshWire

@testable import NodeHost

/// A core that does what the first byte of its input says, and remembers what it was asked.
struct RecordingCore: NodeCore {
  enum Call: Equatable {
    case received(count: Int, Endpoint)
    case sent(count: Int)
    case advanced
    case pathRefused(size: Int, Endpoint)
    case streamOpened(StreamNumber)
    case streamClosed(StreamNumber)
    case completed(UInt64, failed: Bool)
  }

  var calls: [Call] = []
  var actions: [NodeAction] = []
  var nextDeadline: Instant?
  var counters = NodeCounters()
  var peer = Endpoint(.v4(0), port: 0)

  mutating func receive(
    _ datagram: inout MutableSpan<UInt8>, from source: Endpoint, now: Instant
  ) -> Received {
    calls.append(.received(count: datagram.count, source))
    guard datagram.count > 0 else { return .dropped(.empty) }
    switch datagram[0] {
    case UInt8(ascii: "P"):
      for index in 1..<datagram.count { datagram[index] ^= 0xff }
      return .packet(1..<datagram.count)
    case UInt8(ascii: "E"):
      actions.append(.send([UInt8(ascii: "e")], to: source))
      return .consumed
    default: return .dropped(.malformed)
    }
  }

  mutating func send(_ packet: Span<UInt8>, into output: inout MutableSpan<UInt8>, now: Instant) -> Sent {
    calls.append(.sent(count: packet.count))
    output[0] = UInt8(ascii: "P")
    for index in packet.indices { output[1 + index] = packet[index] ^ 0xff }
    let size = packet.count + 1
    switch packet[0] {
    case UInt8(ascii: "2"):
      output[size] = UInt8(ascii: "P")
      for index in packet.indices { output[size + 1 + index] = ~packet[index] ^ 0xff }
      return .pair(first: size, second: size, to: peer)
    case UInt8(ascii: "Q"): return .queued
    case UInt8(ascii: "D"):
      counters.drops[.noRoute, default: 0] += 1
      return .dropped(.noRoute)
    case UInt8(ascii: "U"): return .datagram(count: size, to: Endpoint(.v6(1), port: 0))
    default: return .datagram(count: size, to: peer)
    }
  }

  mutating func streamOpened(_ stream: StreamNumber, now: Instant) { calls.append(.streamOpened(stream)) }

  mutating func streamClosed(_ stream: StreamNumber, now: Instant) { calls.append(.streamClosed(stream)) }

  mutating func pathRefused(size: Int, to endpoint: Endpoint, now: Instant) {
    calls.append(.pathRefused(size: size, endpoint))
    actions.append(.send([UInt8(ascii: "r")], to: endpoint))
  }

  mutating func advance(to now: Instant, wall: WallTime) {
    calls.append(.advanced)
    if let deadline = nextDeadline, deadline <= now {
      nextDeadline = nil
      actions.append(.event(.peerLost(Self.anyPeer, reason: "due")))
    }
  }

  mutating func completed(_ ticket: CryptoTicket, _ result: CryptoResult, now: Instant) {
    var failed = false
    if case .failed = result { failed = true }
    calls.append(.completed(ticket.number, failed: failed))
  }

  mutating func nextAction() -> NodeAction? { actions.isEmpty ? nil : actions.removeFirst() }

  static let anyPeer = PeerID([UInt8](repeating: 7, count: 20))!
}
