import MeshCrypto
import MeshRelay
import MeshSession
public import MeshWire

extension MeshNode {
  /// The smallest MTU that IPv6 allows (RFC 8200 §5): the overlay never has less, because a packet that is
  /// too large for its path travels in two datagrams.
  public static let minimumMTU = 1_280

  /// The shell's socket was told that a datagram of `size` bytes to this endpoint is larger than the path
  /// (EMSGSIZE): packets to the neighbours there go in smaller datagrams from here on.
  public mutating func pathRefused(size: Int, to endpoint: Endpoint, now: Instant) {
    for peerID in neighbours.entries.filter({ $0.current?.endpoint == endpoint }).map(\.peerID) {
      guard let slot = neighbours.slot(peerID), neighbours.entries[slot].current != nil else { continue }
      neighbours.entries[slot].current!.session.pathRefused(
        size: size, now: now, into: &sessionActions)
      performSessionActions(slot, current: true, now)
    }
  }

  /// The largest datagram that can pass on the way to an endpoint of a neighbour, when that is known without
  /// asking, or worth no question: between a node and its backbone nothing large goes.
  func pathLimit(_ slot: Int, to endpoint: Endpoint) -> Int? {
    if case .circuit = endpoint.carrier { return CellLayout.largestPayload }
    let isIntroducer = neighbours.entries[slot].isBackbone || configuration.serviceType == .backbone
    return isIntroducer ? Layout.basePayload : nil
  }

  /// Looks again at what every peer's path carries whole.
  ///
  /// A path that hasn't been tried out yet doesn't count: a session that takes the place of another would
  /// lower the MTU for a round trip, and meanwhile its packets go in two datagrams.
  mutating func notePathSizes() {
    var isConnected = false
    var smallest: Int?
    for neighbour in neighbours.entries where neighbour.isPeer {
      guard let session = neighbour.current?.session else { continue }
      isConnected = true
      if session.isPathDecided { smallest = min(smallest ?? session.wholePacket, session.wholePacket) }
    }
    let carried = smallest.map { max($0, Self.minimumMTU) }
    let mtu = isConnected ? carried ?? overlayMTU : Self.minimumMTU
    guard mtu != overlayMTU else { return }
    overlayMTU = mtu
    emit(.overlayMTUChanged(mtu))
  }

  /// Tells the host that a packet is too large for its session, a hundred times a second at most (RFC 4443
  /// §2.4 f); the packet itself is counted as dropped each time.
  mutating func answerTooLarge(_ packet: Span<UInt8>, largest: Int, now: Instant) {
    guard tooBigBudget.take(now: now), let answer = PacketTooBig.answer(to: packet, mtu: largest) else {
      return
    }
    emit(.deliver(answer))
  }
}
