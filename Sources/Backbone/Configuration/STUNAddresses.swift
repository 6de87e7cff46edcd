public import MeshWire
import StrictConfiguration

/// Where a backbone's STUN server answers. With two addresses of a family, on both ports of each, clients can
/// tell how their NAT maps and filters (RFC 5780 §3); with one, on the first port, they learn where they seem
/// to be.
public struct STUNAddresses: Sendable, Hashable {
  /// An address of this machine, and what clients reach it at: another one where a router stands before it
  /// that translates one to one.
  public struct Place: Sendable, Hashable {
    public let local: IPAddress
    public let announced: IPAddress

    public init(local: IPAddress, announced: IPAddress) {
      self.local = local
      self.announced = announced
    }
  }

  /// At most two of each family.
  public let places: [Place]
  /// The standard port and an alternate one.
  public let firstPort: UInt16
  public let secondPort: UInt16

  public init(places: [Place], firstPort: UInt16 = 3_478, secondPort: UInt16 = 3_479) {
    self.places = places
    self.firstPort = firstPort
    self.secondPort = secondPort
  }

  /// Those of one family.
  func places(v4: Bool) -> [Place] { places.filter { $0.local.isIPv4 == v4 } }

  /// The first endpoint of the same family as another.
  func primary(like endpoint: Endpoint) -> Endpoint? {
    places(v4: endpoint.address.isIPv4).first.map { Endpoint($0.announced, port: firstPort) }
  }
}

extension STUNAddresses {
  /// Reads `stun`; `nil` without addresses.
  init?(in file: inout ConfigurationFile) throws(ConfigurationError) {
    let local = try Self.addresses("stun.addresses", "an address of this machine", in: &file) ?? []
    let announced = try Self.addresses("stun.announce", "an address that nodes can reach", in: &file) ?? local
    let ports =
      try file.values("stun.ports", upTo: 2, expected: "a port from 1 to 65535") { text in
        UInt16(text).flatMap { $0 > 0 ? $0 : nil }
      } ?? [3_478, 3_479]
    guard ports.count == 2, ports[0] != ports[1] else {
      throw file.refusal("stun.ports", "expected two different ports")
    }
    guard Set(local).count == local.count, local.count(where: \.isIPv4) <= 2,
      local.count(where: { !$0.isIPv4 }) <= 2
    else { throw file.refusal("stun.addresses", "expected different addresses, at most two of a family") }
    guard announced.map(\.isIPv4) == local.map(\.isIPv4), Set(announced).count == announced.count else {
      throw file.refusal("stun.announce", "expected a different address for each of stun.addresses, in order")
    }
    guard !local.isEmpty else { return nil }
    self.init(
      places: zip(local, announced).map { Place(local: $0, announced: $1) }, firstPort: ports[0],
      secondPort: ports[1])
  }

  private static func addresses(
    _ key: String, _ expected: String, in file: inout ConfigurationFile
  ) throws(ConfigurationError) -> [IPAddress]? {
    try file.values(key, upTo: 4, expected: expected) { text in
      IPAddress(text).flatMap { $0.isUnspecified || $0.isMulticast ? nil : $0 }
    }
  }
}

extension IPAddress {
  fileprivate var isIPv4: Bool { if case .v4 = self { true } else { false } }
}
