import Foundation
import MeshPaths
import MeshWire
import NIOCore

/// The default route of IPv4, as the kernel tells it in /proc/net/route (proc(5)).
enum DefaultRoute {
  static let path = "/proc/net/route"
  /// More of the file is not read, in bytes: some two thousand routes. The default route comes first.
  static let limit = 1 << 18

  /// The route with the lowest metric that doesn't go by `tunName`, and this machine's address on its
  /// interface; `nil` where there is none.
  static func current(except tunName: String) -> GatewayRoute? {
    guard let file = FileHandle(forReadingAtPath: path), let bytes = try? file.read(upToCount: limit),
      let route = route(in: String(decoding: bytes, as: UTF8.self), except: tunName),
      let devices = try? System.enumerateDevices()
    else { return nil }
    let own = devices.filter { $0.name == route.interface }.compactMap { device -> Address? in
      guard case .v4(let address) = address(device.address) else { return nil }
      guard case .v4(let mask) = self.address(device.netmask) else { return (address, 0) }
      return (address, mask)
    }
    guard let local = local(among: own, towards: route.gateway) else { return nil }
    return GatewayRoute(gateway: .v4(route.gateway), local: .v4(local))
  }

  typealias Address = (address: UInt32, mask: UInt32)

  /// The address in the gateway's own network, else the interface's first.
  static func local(among addresses: [Address], towards gateway: UInt32) -> UInt32? {
    (addresses.first { $0.mask != 0 && $0.address & $0.mask == gateway & $0.mask } ?? addresses.first)?
      .address
  }

  /// Reads the table: a line of headings, then a route a line. Lines that are no route are passed over.
  static func route(in table: String, except tunName: String) -> (interface: String, gateway: UInt32)? {
    var best: (interface: String, gateway: UInt32, metric: UInt32)?
    for line in table.split(separator: "\n").dropFirst() {
      let fields = line.split { $0 == "\t" || $0 == " " }
      guard fields.count >= 8, (1...15).contains(fields[0].utf8.count), fields[0] != tunName,
        word(fields[1]) == 0, let gateway = word(fields[2]), gateway != 0, fields[3].utf8.count == 4,
        let flags = UInt16(fields[3], radix: 16), flags & (up | viaGateway) == up | viaGateway,
        let metric = UInt32(fields[6]), word(fields[7]) == 0
      else { continue }
      if best.map({ metric < $0.metric }) ?? true { best = (String(fields[0]), gateway, metric) }
    }
    return best.map { ($0.interface, $0.gateway) }
  }

  /// RTF_UP and RTF_GATEWAY of linux/route.h.
  private static let up: UInt16 = 1
  private static let viaGateway: UInt16 = 2

  /// Eight digits, an address as it lies in memory, in network order.
  private static func word(_ text: Substring) -> UInt32? {
    guard text.utf8.count == 8, text.utf8.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") })
    else { return nil }
    return UInt32(text, radix: 16).map { UInt32(bigEndian: $0) }
  }

  private static func address(_ address: SocketAddress?) -> IPAddress? {
    address?.ipAddress.flatMap { IPAddress($0) }
  }
}
