public import MeshWire

/// A URL on the gateway itself: `http`, its address in digits, a port, a path. Names and other hosts have no
/// place in it, so that what a datagram or a document says can't make this node ask anybody else.
public struct GatewayURL: Hashable, Sendable {
  /// In bytes; paths of real routers are far shorter.
  static let longestPath = 512

  /// TCP.
  public let host: Endpoint
  /// Begins with `/`, printable ASCII, may have a query.
  public let path: String

  /// `http://192.168.1.1:5000/rootDesc.xml`
  public var text: String { "http://\(host)\(path)" }

  /// An absolute URL, if it is on `gateway`; port 80 unless it names one.
  init?(_ text: String, on gateway: IPAddress) {
    guard text.utf8.count <= Self.longestPath + 64, let start = Self.schemeEnd(of: text) else { return nil }
    let rest = text[start...]
    let end = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
    let authority = rest[..<end]
    let path = end < rest.endIndex ? String(rest[end...]) : "/"
    let host =
      authority.contains(":") ? Endpoint(authority) : IPAddress(authority).map { Endpoint($0, port: 80) }
    guard let host, host.address == gateway, host.port != 0 else { return nil }
    self.init(host: host, path: path.hasPrefix("/") ? path : "/" + path)
  }

  private init?(host: Endpoint, path: String) {
    guard path.hasPrefix("/"), path.utf8.count <= Self.longestPath,
      path.utf8.allSatisfy({ (0x21...0x7e).contains($0) && $0 != UInt8(ascii: "#") })
    else { return nil }
    self.host = host
    self.path = path
  }

  /// What `reference`, found in the document here, points to (RFC 3986 §5.2, without dot segments): absolute,
  /// from the root, or beside this document. Only the same address.
  func resolving(_ reference: String) -> GatewayURL? {
    guard !reference.isEmpty, reference.utf8.count <= Self.longestPath + 64 else { return nil }
    if Self.schemeEnd(of: reference) != nil { return GatewayURL(reference, on: host.address) }
    guard !reference.hasPrefix("//"), !reference.contains("://") else { return nil }
    if reference.hasPrefix("/") { return GatewayURL(host: host, path: reference) }
    let document = path.prefix { $0 != "?" }
    let folder = document.lastIndex(of: "/").map { document[...$0] } ?? "/"
    return GatewayURL(host: host, path: String(folder) + reference)
  }

  private static func schemeEnd(of text: String) -> String.Index? {
    guard text.prefix(7).lowercased() == "http://" else { return nil }
    return text.index(text.startIndex, offsetBy: 7)
  }
}
