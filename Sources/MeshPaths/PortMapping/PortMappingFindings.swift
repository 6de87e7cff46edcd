public import MeshWire

/// The ways to ask a router for a port, the preferred first.
public enum MappingProtocol: Sendable, Hashable, CaseIterable {
  /// Port Control Protocol, RFC 6887.
  case pcp
  /// NAT Port Mapping Protocol, RFC 6886.
  case natPMP
  /// UPnP Internet Gateway Device, WANIPConnection:1 and :2, WANPPPConnection:1.
  case upnp
}

extension MappingProtocol: CustomStringConvertible {
  public var description: String {
    switch self {
    case .pcp: "PCP"
    case .natPMP: "NAT-PMP"
    case .upnp: "UPnP"
    }
  }
}

/// A port of the router's outer address that leads to this node's UDP port.
public struct MappedPort: Sendable, Hashable {
  /// Where others send to.
  public let endpoint: Endpoint
  /// What the router granted; `nil`: until it is removed or the router starts anew.
  public let lifetime: Duration?
  public let by: MappingProtocol

  public init(endpoint: Endpoint, lifetime: Duration?, by: MappingProtocol) {
    self.endpoint = endpoint
    self.lifetime = lifetime
    self.by = by
  }
}

/// A router's no: the number that its protocol has for it.
public struct MappingRefusal: Sendable, Hashable {
  public let by: MappingProtocol
  /// PCP: RFC 6887 §7.4. NAT-PMP: RFC 6886 §3.5. UPnP: the errorCode, or the HTTP status; 0: an answer that
  /// could not be read, -1: one that names no outer address.
  public let code: Int

  public init(by: MappingProtocol, code: Int) {
    self.by = by
    self.code = code
  }
}

/// What asking the router has shown: for `netcheck`, `status` and the log.
public struct PortMappingFindings: Sendable, Hashable {
  /// How one protocol did.
  public enum Support: Sendable, Hashable {
    /// It was not tried: there is nobody to ask, or no need.
    case unasked
    /// Asked, and it is too early to tell.
    case asking
    /// The router speaks it.
    case answers
    /// The router said that it doesn't speak it.
    case absent
    /// Nothing came in ``PortMapping/silence``; it is asked on for a while.
    case silent
    /// The router speaks it, and says no.
    case refuses(MappingRefusal)
  }

  /// Why there is no mapping.
  public enum Obstacle: Sendable, Hashable {
    /// The configuration says so.
    case switchedOff
    /// The configuration names the endpoints to announce.
    case endpointsConfigured
    /// No default route of IPv4.
    case noGateway
    /// This machine's own address is no private one.
    case notNeeded
    case noAnswer
    case refused(MappingRefusal)
    /// The router's outer address is not one of the internet: another NAT is before it, a second router or
    /// the provider's (CGNAT).
    case notPublic(IPAddress)
    /// The router says that it has no network, or no address that it could map ports of.
    case noOuterAddress
    /// What the router had granted it no longer knows, and has not granted anew.
    case routerRestarted
    /// What the router had granted ran out, unanswered.
    case expired
    /// The mapping was removed, for the node ends.
    case stopped
  }

  /// Who was asked.
  public var gateway: IPAddress?
  public var pcp = Support.unasked
  public var natPMP = Support.unasked
  public var upnp = Support.unasked
  /// What stands now.
  public var mapped: MappedPort?
  /// Why nothing stands; `nil` while something does, or before it is known.
  public var obstacle: Obstacle?
  /// Datagrams and documents that were dropped: from elsewhere than the gateway, of another transaction, or
  /// not readable.
  public var dropped: UInt64 = 0

  public init() {}

  /// Whether the end is known: what stands, or why nothing does. Within 4 s of the first question, save when
  /// a router is slow to say no.
  public var isSettled: Bool { mapped != nil || obstacle != nil }

  /// Whether it is known besides which of the three the router speaks: ``PortMapping/silence`` after the
  /// first question at the latest.
  public var isComplete: Bool { isSettled && !MappingProtocol.allCases.contains { self[$0] == .asking } }

  /// The router's own outer address, as it says: the mapped one, or one that is of no use to a stranger.
  public var routerAddress: IPAddress? {
    if let mapped { return mapped.endpoint.address }
    guard case .notPublic(let address) = obstacle else { return nil }
    return address
  }

  public subscript(by: MappingProtocol) -> Support {
    get {
      switch by {
      case .pcp: pcp
      case .natPMP: natPMP
      case .upnp: upnp
      }
    }
    set {
      switch by {
      case .pcp: pcp = newValue
      case .natPMP: natPMP = newValue
      case .upnp: upnp = newValue
      }
    }
  }
}
