import ControlAPI
import Glibc
import MeshWire

/// `HOST:PORT` as a person types it: a name, an IPv4 address, or an IPv6 address in brackets.
struct StunHost {
  /// At most one IPv4 and one IPv6 address of a name, with the port.
  let endpoints: [String]

  init(_ text: String) throws(ControlFailure) {
    if let endpoint = Endpoint(text) {
      endpoints = [endpoint.description]
      return
    }
    guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port != 0
    else {
      throw ControlFailure(
        .badRequest, "\"\(text)\" is no server", next: "write it as HOST:PORT, like stun.example:3478")
    }
    let name = String(text[..<colon])
    let addresses = Self.addresses(of: name)
    guard !addresses.isEmpty else { throw ControlFailure(.notFound, "\(name) has no address") }
    let v4 = addresses.first { if case .v4 = $0 { true } else { false } }
    let v6 = addresses.first { if case .v6 = $0 { true } else { false } }
    endpoints = [v4, v6].compactMap { $0.map { Endpoint($0, port: port).description } }
  }

  private static func addresses(of name: String) -> [IPAddress] {
    var hints = unsafe addrinfo()
    unsafe hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    guard unsafe getaddrinfo(name, nil, &hints, &list) == 0 else { return [] }
    defer { unsafe freeaddrinfo(list) }
    var found: [IPAddress] = []
    var next = unsafe list
    while let entry = unsafe next {
      var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
      let status = unsafe getnameinfo(
        entry.pointee.ai_addr, entry.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
      if status == 0,
        let address = IPAddress(
          String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
      {
        found.append(address)
      }
      unsafe next = entry.pointee.ai_next
    }
    return found
  }
}
