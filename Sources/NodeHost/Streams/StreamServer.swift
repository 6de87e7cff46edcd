public import MeshWire

/// What a node serves TLS streams with, for clients whose network lets no UDP through.
public struct StreamServer: Sendable {
  /// Connections at a time.
  static let limit = 256
  /// And of one /24 or /56: enough for a household, or for an office.
  static let limitOfPrefix = 16

  let endpoint: Endpoint
  let certificate: [UInt8]
  let privateKey: [UInt8]

  /// - Parameters:
  ///   - endpoint: where to listen, TCP; port 443 takes CAP_NET_BIND_SERVICE. `::` is every address of both
  ///     families.
  ///   - certificate: DER. Clients know it by its SHA-256, which the node's signed record names.
  ///   - privateKey: its key, PEM.
  public init(endpoint: Endpoint, certificate: [UInt8], privateKey: [UInt8]) {
    self.endpoint = endpoint
    self.certificate = certificate
    self.privateKey = privateKey
  }
}

/// How many connections there are, by network.
struct StreamTally {
  private var open = 0
  private var openByPrefix: [IPAddress: Int] = [:]

  /// Counts a connection until ``closed(_:)``; `false` when there are too many, and then it isn't counted.
  mutating func opened(_ prefix: IPAddress) -> Bool {
    guard open < StreamServer.limit, openByPrefix[prefix, default: 0] < StreamServer.limitOfPrefix else {
      return false
    }
    open += 1
    openByPrefix[prefix, default: 0] += 1
    return true
  }

  /// A connection that was counted has ended.
  mutating func closed(_ prefix: IPAddress) {
    open -= 1
    let others = openByPrefix[prefix, default: 0] - 1
    openByPrefix[prefix] = others > 0 ? others : nil
  }
}
