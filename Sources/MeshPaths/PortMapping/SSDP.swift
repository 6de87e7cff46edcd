import MeshWire

/// The search for a UPnP device (UPnP Device Architecture 1.1 §1.3).
enum SSDP {
  static let port: UInt16 = 1_900
  /// 239.255.255.250:1900.
  static let group = Endpoint(.v4(0xefff_fffa), port: port)
  /// A longer answer is not read.
  static let longestAnswer = 2_048

  /// Every gateway device of version 1 or above answers, within one second. `host` is the group or the
  /// gateway itself (§1.3.2: a unicast search has no MX).
  static func search(at host: Endpoint) -> [UInt8] {
    let wait = host == group ? "MX: 1\r\n" : ""
    let text =
      "M-SEARCH * HTTP/1.1\r\nHOST: \(host)\r\nMAN: \"ssdp:discover\"\r\n\(wait)"
      + "ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n"
    return Array(text.utf8)
  }

  /// The LOCATION of an answer, if it is one, and on `gateway`. Throws for everything else.
  static func location(
    in bytes: ArraySlice<UInt8>, on gateway: IPAddress
  ) throws(DecodingFailure) -> GatewayURL {
    guard bytes.count <= longestAnswer else { throw .tooLarge }
    guard bytes.allSatisfy({ $0 < 0x80 }) else { throw .badValue }
    let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
      .map { line in String(decoding: line.last == UInt8(ascii: "\r") ? line.dropLast() : line, as: UTF8.self)
      }
    guard let first = lines.first, first.hasPrefix("HTTP/1."),
      first.split(separator: " ").dropFirst().first == "200"
    else { throw .badValue }
    var location: String?
    for line in lines.dropFirst().prefix(64) {
      guard !line.isEmpty else { break }
      guard let colon = line.firstIndex(of: ":"), line[..<colon].lowercased() == "location" else { continue }
      // Two of them: an answer that two readers would read differently.
      guard location == nil else { throw .badValue }
      location = String(line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" })
    }
    while let last = location?.last, last == " " || last == "\t" { location?.removeLast() }
    guard let location, let url = GatewayURL(location, on: gateway) else { throw .badValue }
    return url
  }
}
