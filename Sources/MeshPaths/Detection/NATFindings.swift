public import MeshWire

/// How a NAT chooses the outer endpoint for packets from one inner endpoint (RFC 4787 §4.1).
public enum NATMapping: Sendable, Hashable, CaseIterable {
  case unknown
  /// Nothing is translated: the address that servers see is this machine's own.
  case none
  /// The same outer endpoint whatever the destination.
  case endpointIndependent
  /// Another one for each destination address.
  case addressDependent
  /// Another one for each destination address and port: "symmetric".
  case addressAndPortDependent
}

/// Which packets from outside pass to an inner endpoint that has a mapping (RFC 4787 §5).
public enum NATFiltering: Sendable, Hashable, CaseIterable {
  case unknown
  /// Any: no filter.
  case endpointIndependent
  /// From addresses that were sent to.
  case addressDependent
  /// From addresses and ports that were sent to.
  case addressAndPortDependent
}

/// What a detection found out for one address family. `nil` means that it could not be told.
public struct FamilyFindings: Sendable, Hashable {
  /// Servers that were asked, and public nodes where those didn't tell enough.
  public var asked = 0
  /// How many of them answered. None: UDP doesn't get out, or they are all down.
  public var answered = 0
  /// The outer endpoint of the node's socket, as the server that answered first saw it; where none did, as
  /// two public nodes saw it.
  public var reflexive: Endpoint?
  public var mapping = NATMapping.unknown
  public var filtering = NATFiltering.unknown
  /// The outer port is the inner port.
  public var keepsPort: Bool?
  /// A packet to one's own outer endpoint comes back. `nil` also where there is nothing to translate.
  public var hairpins: Bool?
  /// A provider's NAT stands behind the router, or instead of it.
  public var isCarrierGrade: Bool?

  public init() {}

  /// Whether any of them answered over UDP.
  public var isReachable: Bool { answered > 0 }
}

/// A server that was asked, and how long its answer took.
public struct STUNRoundTrip: Sendable, Hashable {
  public let server: Endpoint
  /// `nil`: no answer.
  public let time: Duration?

  public init(server: Endpoint, time: Duration?) {
    self.server = server
    self.time = time
  }
}

/// What RFC 5780's tests tell about the networks between a node's UDP socket and the internet.
public struct NATFindings: Sendable, Hashable {
  /// `nil`: no server with such an address was given.
  public var v4: FamilyFindings?
  public var v6: FamilyFindings?
  /// In the order in which the servers were given.
  public var roundTrips: [STUNRoundTrip] = []
  /// How long the detection took.
  public var took: Duration = .zero

  public init() {}

  /// Whether any UDP server answered.
  public var hasUDP: Bool { v4?.isReachable == true || v6?.isReachable == true }

  /// The outer endpoints that others may try, IPv6 first. None where the mapping depends on the destination:
  /// nobody else would find it there.
  public var reflexiveEndpoints: [Endpoint] {
    [v6, v4].compactMap { family in
      switch family?.mapping {
      case .some(.none), .endpointIndependent, .unknown: family?.reflexive
      case .addressDependent, .addressAndPortDependent, nil: nil
      }
    }
  }
}
