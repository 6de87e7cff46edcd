import MeshWire

/// How a translator chooses and filters, in the terms of RFC 4787 §4.1 and §5.
public enum NATDependence: String, Sendable, Hashable, CaseIterable {
  case endpointIndependent
  case addressDependent
  case addressAndPortDependent
}

/// The kinds of NAT that the protocol design names.
public struct NATKind: Sendable, Hashable {
  public var mapping: NATDependence
  public var filtering: NATDependence
  /// Whether a host behind it reaches another one there by its outer address (RFC 4787 §6).
  public var hairpins: Bool
  /// A mapping that nothing went out of for this long is gone (RFC 4787 §4.3: at least two minutes; many keep
  /// thirty seconds).
  public var mappingLife: Duration

  public init(
    mapping: NATDependence, filtering: NATDependence, hairpins: Bool = false,
    mappingLife: Duration = .seconds(120)
  ) {
    self.mapping = mapping
    self.filtering = filtering
    self.hairpins = hairpins
    self.mappingLife = mappingLife
  }

  public static let fullCone = NATKind(mapping: .endpointIndependent, filtering: .endpointIndependent)
  public static let addressRestricted = NATKind(mapping: .endpointIndependent, filtering: .addressDependent)
  public static let portRestricted = NATKind(
    mapping: .endpointIndependent, filtering: .addressAndPortDependent)
  public static let symmetric = NATKind(
    mapping: .addressAndPortDependent, filtering: .addressAndPortDependent)

  public static let all = [fullCone, addressRestricted, portRestricted, symmetric]
}

/// A translator with one outer address. Hosts, or other translators, stand behind it.
struct NAT {
  /// Ports that it gives out, at most so many at a time.
  static let portLimit = 40_000

  private struct Key: Hashable {
    let inner: Endpoint
    /// As much of the destination as the mapping depends on.
    let towards: Endpoint?
  }

  private struct Mapping {
    let key: Key
    var lastOut: Instant
    var contacted: Set<Endpoint>
  }

  let kind: NATKind
  let outer: IPAddress
  private var ports: [Key: UInt16] = [:]
  private var mappings: [UInt16: Mapping] = [:]
  private var nextPort: UInt16 = 20_000

  init(kind: NATKind, outer: IPAddress) {
    self.kind = kind
    self.outer = outer
  }

  /// Forgets every mapping, as a reboot does.
  mutating func reboot() {
    ports.removeAll()
    mappings.removeAll()
  }

  /// Where a datagram from inside seems to come from; `nil` when there are no ports left.
  mutating func translate(from inner: Endpoint, to remote: Endpoint, now: Instant) -> Endpoint? {
    let key = Key(inner: inner, towards: part(of: remote, by: kind.mapping))
    if let port = ports[key], let mapping = mappings[port], now - mapping.lastOut < kind.mappingLife {
      mappings[port]?.lastOut = now
      mappings[port]?.contacted.insert(remote)
      return Endpoint(outer, port: port)
    }
    if let old = ports.removeValue(forKey: key) { mappings[old] = nil }
    guard mappings.count < Self.portLimit else { return nil }
    while mappings[nextPort] != nil { nextPort = nextPort == 65_535 ? 20_000 : nextPort + 1 }
    let port = nextPort
    nextPort = nextPort == 65_535 ? 20_000 : nextPort + 1
    ports[key] = port
    mappings[port] = Mapping(key: key, lastOut: now, contacted: [remote])
    return Endpoint(outer, port: port)
  }

  /// Whom a datagram from outside reaches; `nil` when it is filtered.
  func admit(to port: UInt16, from remote: Endpoint, now: Instant) -> Endpoint? {
    guard let mapping = mappings[port], now - mapping.lastOut < kind.mappingLife else { return nil }
    let isKnown =
      switch kind.filtering {
      case .endpointIndependent: true
      case .addressDependent: mapping.contacted.contains { $0.address == remote.address }
      case .addressAndPortDependent: mapping.contacted.contains(remote)
      }
    return isKnown ? mapping.key.inner : nil
  }

  private func part(of remote: Endpoint, by dependence: NATDependence) -> Endpoint? {
    switch dependence {
    case .endpointIndependent: nil
    case .addressDependent: Endpoint(remote.address, port: 0)
    case .addressAndPortDependent: remote
    }
  }
}
