import Foundation
import MeshWire

/// A backbone's base URL, taken apart just far enough to say whether it is safe without TLS.
struct BackboneAddress: Hashable, Sendable {
  /// The URL as it was written.
  let text: String
  let isTLS: Bool
  let host: String

  /// `nil` for anything but `http` or `https` with a host; a path, query, user or fragment is refused.
  init?(_ text: String) {
    guard text.utf8.count <= 200, let url = URLComponents(string: text), let scheme = url.scheme,
      scheme == "http" || scheme == "https", let host = url.host, !host.isEmpty, url.user == nil,
      url.password == nil, url.query == nil, url.fragment == nil, url.path.isEmpty || url.path == "/",
      url.port.map({ (1...65_535).contains($0) }) ?? true
    else { return nil }
    self.text = text
    isTLS = scheme == "https"
    self.host = host
  }

  /// The host is 127.0.0.0/8, ::1 or `localhost`: nobody on the way to listen.
  var isLoopback: Bool {
    if host == "localhost" { return true }
    let bare = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
    return IPAddress(bare)?.isLoopback ?? false
  }
}
