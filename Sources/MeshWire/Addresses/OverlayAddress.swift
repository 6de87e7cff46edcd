/// A node's IPv6 address inside the overlay: `fd73:6d` followed by the first 13 bytes of its PeerID.
public struct OverlayAddress: Hashable, Sendable {
  /// The 24 fixed bits: a unique local prefix (RFC 4193) of our own.
  static let prefix: UInt128 = 0xfd736d

  public let address: IPAddress

  public init(of peerID: PeerID) {
    let first13 = peerID.bytes.prefix(13).reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
    address = .v6(Self.prefix << 104 | first13)
  }

  /// Accepts an address only when it lies in fd73:6d00::/24.
  public init?(_ address: IPAddress) {
    guard address.isOverlay else { return nil }
    self.address = address
  }
}

extension OverlayAddress: CustomStringConvertible {
  public var description: String { address.description }
}
