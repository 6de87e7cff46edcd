extension MappingRefusal: CustomStringConvertible {
  /// `PCP says: not authorized (2)`.
  public var description: String { "\(by) says: \(meaning) (\(code))" }

  private var meaning: String {
    switch by {
    case .pcp: PCPResult(code: code).meaning
    case .natPMP: NATPMPResult(code: code).meaning
    case .upnp: UPnPFault.meaning(of: code)
    }
  }
}

extension PortMappingFindings.Support: CustomStringConvertible {
  public var description: String {
    switch self {
    case .unasked: "not asked"
    case .asking: "asked"
    case .answers: "yes"
    case .absent: "no"
    case .silent: "no answer"
    case .refuses(let refusal): "refused: \(refusal)"
    }
  }
}

extension PortMappingFindings.Obstacle: CustomStringConvertible {
  public var description: String {
    switch self {
    case .switchedOff: "port_mapping is off"
    case .endpointsConfigured: "the configuration names the endpoints"
    case .noGateway: "this machine has no IPv4 gateway to ask"
    case .notNeeded: "this machine has a public IPv4 address"
    case .noAnswer: "the router answers neither PCP nor NAT-PMP nor UPnP"
    case .refused(let refusal): "the router refused: \(refusal)"
    case .notPublic(let address):
      "the router's own outer address, \(address), is not public: another NAT is before it "
        + "(a second router, or the provider's CGNAT)"
    case .noOuterAddress:
      "the router says that it has no public address: it is offline, or another NAT is before it "
        + "(a second router, or the provider's CGNAT)"
    case .routerRestarted: "the router started anew and has not mapped the port again"
    case .expired: "the router's mapping ran out, and it doesn't answer"
    case .stopped: "the mapping was removed"
    }
  }
}

extension PortMappingFindings: CustomStringConvertible {
  /// One sentence for a person.
  public var description: String {
    if let mapped { return "the router maps \(mapped.endpoint) to this node (\(mapped.by))" }
    return obstacle?.description ?? "the router is being asked"
  }
}
