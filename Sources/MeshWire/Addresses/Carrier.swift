/// What carries datagrams to an endpoint.
///
/// SMH/1 knows endpoints only. So a relay circuit, and a TLS stream where UDP is blocked, are endpoints too,
/// from a range that no network routes (RFC 6666's discard-only prefix): handshakes, roaming and path probes
/// run over them unchanged. Such an endpoint means something in this process alone and never travels.
public enum Carrier: Hashable, Sendable {
  case udp
  /// A TLS stream that the shell keeps.
  case stream(StreamNumber)
  /// A chain of relays that the core keeps.
  case circuit(CircuitNumber)
}

/// Names a TLS stream of this process. `origin` says from which network it came, so that limits by prefix
/// hold for streams too: any 24 bits that are equal for one network.
public struct StreamNumber: Hashable, Sendable {
  public let origin: UInt32
  public let number: UInt32

  public init(number: UInt32, origin: UInt32 = 0) {
    self.number = number
    self.origin = origin & 0xff_ffff
  }
}

/// Names a circuit that ends at this node, unique in its life.
public struct CircuitNumber: Hashable, Sendable, Comparable {
  public let number: UInt32

  public init(number: UInt32) { self.number = number }

  public static func < (a: CircuitNumber, b: CircuitNumber) -> Bool { a.number < b.number }
}

extension Endpoint {
  private enum Kind: UInt8 {
    case stream = 1
    case circuit = 2
  }

  /// What carries datagrams there.
  public var carrier: Carrier {
    guard case .v6(let value) = address, UInt64(truncatingIfNeeded: value >> 64) == IPAddress.carrierPrefix
    else { return .udp }
    let number = UInt32(truncatingIfNeeded: value)
    switch Kind(rawValue: UInt8(truncatingIfNeeded: value >> 56)) {
    case .stream:
      return .stream(StreamNumber(number: number, origin: UInt32(truncatingIfNeeded: value >> 32)))
    case .circuit: return .circuit(CircuitNumber(number: number))
    case nil: return .udp
    }
  }

  /// The endpoint at the other end of a stream.
  public init(_ stream: StreamNumber) {
    self.init(kind: .stream, value: UInt64(stream.origin) << 32 | UInt64(stream.number))
  }

  /// The endpoint at the other end of a circuit.
  public init(_ circuit: CircuitNumber) { self.init(kind: .circuit, value: UInt64(circuit.number)) }

  private init(kind: Kind, value: UInt64) {
    let low = UInt64(kind.rawValue) << 56 | value
    self.init(.v6(UInt128(IPAddress.carrierPrefix) << 64 | UInt128(low)), port: 1)
  }
}

extension IPAddress {
  /// 100::/64 (RFC 6666).
  static let carrierPrefix: UInt64 = 0x0100_0000_0000_0000

  /// Inside the range of ``Carrier``: never an address of a network.
  public var isCarrier: Bool {
    switch self {
    case .v4: false
    case .v6(let value): UInt64(truncatingIfNeeded: value >> 64) == Self.carrierPrefix
    }
  }
}
