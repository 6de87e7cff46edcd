import MeshCrypto
import MeshWire
import NIOCore

/// The endpoints that this machine's own interfaces give.
enum InterfaceEndpoints {
  /// Dialable addresses of every interface but `tunName`, IPv6 before IPv4, at most 8; loopback only where
  /// permitted.
  static func current(port: Int, except tunName: String, permitsLoopback: Bool) -> [AnnouncedEndpoint] {
    guard let devices = try? System.enumerateDevices() else { return [] }
    let addresses = devices.filter { $0.name != tunName }
      .compactMap { $0.address?.ipAddress.flatMap { IPAddress($0) } }
    return select(addresses, port: port, permitsLoopback: permitsLoopback)
  }

  static func select(_ addresses: [IPAddress], port: Int, permitsLoopback: Bool) -> [AnnouncedEndpoint] {
    var seen: Set<Endpoint> = []
    let all = addresses.map { Endpoint($0, port: UInt16(clamping: port)) }.filter {
      ($0.isDialable || (permitsLoopback && $0.address.isLoopback)) && seen.insert($0).inserted
    }
    let isV6 = { (endpoint: Endpoint) in if case .v6 = endpoint.address { true } else { false } }
    let ordered =
      all.filter { !$0.address.isLoopback && isV6($0) }
      + all.filter {
        !$0.address.isLoopback && !isV6($0)
      } + all.filter(\.address.isLoopback)
    return ordered.prefix(RecordBody.endpointLimit).map { AnnouncedEndpoint(.interface, $0) }
  }
}
