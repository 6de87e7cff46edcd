import Foundation

/// The routes by which this machine reaches everything else, as text to compare: a move to another network
/// often shows in the router alone, when both networks give the same private address.
enum DefaultRoutes {
  /// More than these don't count.
  static let limit = 32

  static func current() -> [String] {
    func lines(_ path: String) -> String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }
    return parse(v4: lines("/proc/net/route"), v6: lines("/proc/net/ipv6_route"))
  }

  /// Interface and router of each (proc(5)); sorted, so that the kernel's order doesn't matter.
  ///
  /// - Parameters:
  ///   - v4: lines of interface, destination, gateway, flags, three numbers, mask.
  ///   - v6: lines of destination, its length, source, its length, gateway, four numbers, interface.
  static func parse(v4: String, v6: String) -> [String] {
    var routes: [String] = []
    for line in v4.split(separator: "\n") {
      let fields = line.split(whereSeparator: \.isWhitespace)
      guard fields.count >= 8, fields[1] == "00000000", fields[7] == "00000000" else { continue }
      routes.append("\(fields[0]) \(fields[2])")
    }
    for line in v6.split(separator: "\n") {
      let fields = line.split(whereSeparator: \.isWhitespace)
      // The kernel's own entry that rejects everything is on lo.
      guard fields.count >= 10, fields[0].allSatisfy({ $0 == "0" }), fields[1] == "00", fields[9] != "lo"
      else { continue }
      routes.append("\(fields[9]) \(fields[4])")
    }
    return Array(Set(routes).sorted().prefix(limit))
  }
}
