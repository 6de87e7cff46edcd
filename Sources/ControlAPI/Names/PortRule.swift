/// What a peer may open towards this node: one port of a protocol, or everything. Replies need no rule.
public enum PortRule: Hashable, Sendable, Comparable {
  case all
  /// ICMPv6 echo requests.
  case ping
  case tcp(UInt16)
  case udp(UInt16)

  /// Reads `all`, `ping`, `tcp/22` or `udp/53`; `nil` for anything else. Port 0 is not a port.
  public init?(_ text: some StringProtocol) {
    if text == "all" || text == "ping" {
      self = text == "all" ? .all : .ping
      return
    }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, parts[1].utf8.allSatisfy({ (48...57).contains($0) }),
      let port = UInt16(parts[1]), port > 0
    else { return nil }
    switch parts[0] {
    case "tcp": self = .tcp(port)
    case "udp": self = .udp(port)
    default: return nil
    }
  }
}

extension PortRule: CustomStringConvertible {
  public var description: String {
    switch self {
    case .all: "all"
    case .ping: "ping"
    case .tcp(let port): "tcp/\(port)"
    case .udp(let port): "udp/\(port)"
    }
  }
}

extension PortRule: Codable {
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    guard let rule = PortRule(try container.decode(String.self)) else {
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "a port rule is all, ping, tcp/PORT or udp/PORT")
    }
    self = rule
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}
