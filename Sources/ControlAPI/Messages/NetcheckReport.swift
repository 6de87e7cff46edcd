/// `shadowmesh netcheck`: what stands between this node and the internet. What could not be told is absent.
public struct NetcheckReport: Hashable, Sendable, Codable {
  /// `false`: it is still being found out, and this is what is known so far.
  public var finished: Bool
  /// Whether any server answered over UDP.
  public var udp: Bool
  /// Absent: no server with an IPv4 address, or an IPv6 one, is known.
  public var ipv4: NetcheckFamily?
  public var ipv6: NetcheckFamily?
  public var portMapping: PortMappingReport
  /// The servers that were asked, the backbones' among them.
  public var servers: [NetcheckServer]
  /// What it means for connections: a sentence, or two.
  public var meaning: String
  /// How long it has taken, about 5,000 at most.
  public var milliseconds: Double

  public init(
    finished: Bool, udp: Bool, ipv4: NetcheckFamily?, ipv6: NetcheckFamily?,
    portMapping: PortMappingReport, servers: [NetcheckServer], meaning: String, milliseconds: Double
  ) {
    self.finished = finished
    self.udp = udp
    self.ipv4 = ipv4
    self.ipv6 = ipv6
    self.portMapping = portMapping
    self.servers = servers
    self.meaning = meaning
    self.milliseconds = milliseconds
  }
}

/// One address family.
public struct NetcheckFamily: Hashable, Sendable, Codable {
  /// How a NAT chooses outer ports (RFC 4787 §4.1).
  public enum Mapping: String, Sendable, Codable, CaseIterable {
    case unknown
    /// There is no NAT.
    case none
    case endpointIndependent = "endpoint_independent"
    case addressDependent = "address_dependent"
    /// "Symmetric".
    case addressAndPortDependent = "address_and_port_dependent"
  }

  /// Whom a NAT or firewall lets answer (RFC 4787 §5).
  public enum Filtering: String, Sendable, Codable, CaseIterable {
    case unknown
    case endpointIndependent = "endpoint_independent"
    case addressDependent = "address_dependent"
    case addressAndPortDependent = "address_and_port_dependent"
  }

  public var asked: Int
  public var answered: Int
  /// Where others see this node's packets come from.
  public var address: String?
  public var mapping: Mapping
  public var filtering: Filtering
  public var portKept: Bool?
  public var hairpin: Bool?
  public var carrierGrade: Bool?

  public init(
    asked: Int, answered: Int, address: String?, mapping: Mapping, filtering: Filtering, portKept: Bool?,
    hairpin: Bool?, carrierGrade: Bool?
  ) {
    self.asked = asked
    self.answered = answered
    self.address = address
    self.mapping = mapping
    self.filtering = filtering
    self.portKept = portKept
    self.hairpin = hairpin
    self.carrierGrade = carrierGrade
  }
}

/// A server that was asked.
public struct NetcheckServer: Hashable, Sendable, Codable {
  /// Empty: not one of a backbone.
  public var region: String
  public var address: String
  /// The round trip; absent: it did not answer.
  public var milliseconds: Double?

  public init(region: String, address: String, milliseconds: Double?) {
    self.region = region
    self.address = address
    self.milliseconds = milliseconds
  }
}
