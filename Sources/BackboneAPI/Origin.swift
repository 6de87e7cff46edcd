import Foundation
import MeshWire

/// Where a backbone is reached, as RFC 6454 §6.2 writes it: `https://backbone.example:8443`.
///
/// The scheme and host in lowercase, the port left out when it is the scheme's own (80, 443). A login
/// statement names one, so that a signature made for one backbone is of no use to another.
public struct Origin: Hashable, Sendable {
  public let scheme: String
  /// A name, an IPv4 address, or an IPv6 address without brackets.
  public let host: String
  public let port: Int

  /// Reads an absolute `http` or `https` URL without user, query or fragment, and with no path beyond `/`;
  /// `nil` for anything else.
  public init?(url: String) {
    guard url.utf8.count <= 512, let parts = URLComponents(string: url),
      let scheme = parts.scheme?.lowercased(), scheme == "http" || scheme == "https",
      var host = parts.host?.lowercased(), !host.isEmpty,
      parts.user == nil, parts.password == nil, parts.query == nil, parts.fragment == nil,
      parts.path.isEmpty || parts.path == "/"
    else { return nil }
    if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
    guard host.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else { return nil }
    let port = parts.port ?? (scheme == "http" ? 80 : 443)
    guard (1...65_535).contains(port) else { return nil }
    self.scheme = scheme
    self.host = host
    self.port = port
  }

  /// Whether plain HTTP to it stays on this machine.
  public var isLoopback: Bool { host == "localhost" || IPAddress(host)?.isLoopback == true }

  public var isEncrypted: Bool { scheme == "https" }
}

extension Origin: CustomStringConvertible {
  public var description: String {
    let shown = host.contains(":") ? "[\(host)]" : host
    return port == (scheme == "http" ? 80 : 443) ? "\(scheme)://\(shown)" : "\(scheme)://\(shown):\(port)"
  }
}
