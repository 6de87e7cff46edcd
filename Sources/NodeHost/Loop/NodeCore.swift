import MeshCrypto
import MeshNode
import MeshWire

/// What the drive loop needs of a core. ``MeshNode`` is the one; tests have others, that only echo or count.
protocol NodeCore: SendableMetatype {
  mutating func receive(
    _ datagram: inout MutableSpan<UInt8>, from source: Endpoint, now: Instant
  ) -> Received
  mutating func send(
    _ packet: Span<UInt8>, into output: inout MutableSpan<UInt8>, now: Instant
  ) -> Sent
  mutating func streamOpened(_ stream: StreamNumber, now: Instant)
  mutating func streamClosed(_ stream: StreamNumber, now: Instant)
  mutating func pathRefused(size: Int, to endpoint: Endpoint, now: Instant)
  mutating func advance(to now: Instant, wall: WallTime)
  var nextDeadline: Instant? { get }
  var counters: NodeCounters { get }
  mutating func completed(_ ticket: CryptoTicket, _ result: CryptoResult, now: Instant)
  mutating func nextAction() -> NodeAction?
}

extension MeshNode: NodeCore {}
