import MeshWire

/// Decides which IP packets pass: from a session only its peer's address to ours, and only what the owner
/// allowed or what answers us; from the host only our address (protocol.md §1 and §6).
struct PacketFilter {
  private let own: UInt128
  private var flows: FlowTable

  init(own: OverlayAddress, flowCapacity: Int) {
    self.own = own.value
    flows = FlowTable(capacity: flowCapacity)
  }

  var flowEvictions: UInt64 { flows.evictions }

  /// Judges a packet from the TUN device; gives the overlay address that it goes to.
  mutating func outgoing(_ packet: Span<UInt8>, now: Instant) -> Outgoing {
    guard let packet = IPv6Packet(packet) else { return .drop(.notIPv6) }
    guard packet.source == own else { return .drop(.sourceNotOurs) }
    if let key = packet.outgoingFlow { flows.sent(key, now: now) }
    return .pass(to: packet.destination)
  }

  enum Outgoing: Hashable {
    case pass(to: UInt128)
    case drop(DropReason)
  }

  /// Judges a packet that came out of the session of the peer with this address. `nil` lets it in.
  mutating func incoming(
    _ packet: Span<UInt8>, from peer: UInt128, permission: InboundPermission, now: Instant
  ) -> DropReason? {
    guard let packet = IPv6Packet(packet) else { return .notIPv6 }
    guard packet.source == peer else { return .sourceNotPeers }
    guard packet.destination == own else { return .destinationNotOurs }
    if permission.allowsAll { return nil }
    switch packet.transport {
    case .tcp(let source, let destination):
      if permission.tcpPorts.contains(destination) { return nil }
      return reply(FlowKey(remote: peer, protocolNumber: 6, localPort: destination, remotePort: source), now)
    case .udp(let source, let destination):
      if permission.udpPorts.contains(destination) { return nil }
      return reply(FlowKey(remote: peer, protocolNumber: 17, localPort: destination, remotePort: source), now)
    case .echo(true, _): return permission.allowsPing ? nil : .notAllowed
    case .echo(false, let identifier):
      return reply(FlowKey(remote: peer, protocolNumber: 58, localPort: identifier, remotePort: 0), now)
    case .icmpError(let invoking):
      guard let invoking, invoking.source == own, invoking.destination == peer, let flow = invoking.flow
      else { return .notAllowed }
      return reply(flow, now)
    case .other: return .notAllowed
    }
  }

  mutating func forget(peer: UInt128) { flows.forget(remote: peer) }

  private func reply(_ key: FlowKey, _ now: Instant) -> DropReason? {
    flows.expects(key, now: now) ? nil : .notAllowed
  }
}

extension IPv6Packet {
  /// The flow that a packet of ours opens or keeps open. An answered ping opens none.
  fileprivate var outgoingFlow: FlowKey? {
    switch transport {
    case .tcp(let source, let target):
      FlowKey(remote: destination, protocolNumber: 6, localPort: source, remotePort: target)
    case .udp(let source, let target):
      FlowKey(remote: destination, protocolNumber: 17, localPort: source, remotePort: target)
    case .echo(true, let identifier):
      FlowKey(remote: destination, protocolNumber: 58, localPort: identifier, remotePort: 0)
    case .echo(false, _), .icmpError, .other: nil
    }
  }
}

extension OverlayAddress {
  /// The 128 bits.
  var value: UInt128 {
    switch address {
    case .v6(let value): value
    case .v4: 0
    }
  }
}
