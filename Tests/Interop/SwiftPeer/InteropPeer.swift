import MeshCrypto
import MeshWire

/// `smh1-interop-peer [node] [seed=HEX] [suites=1,2] [cookies]`: the session core, or with `node` the whole
/// node core, driven by lines.
///
/// It prints `listening PORT KEYHASH PUBLICKEY`, obeys the lines of ``SessionPeer`` or ``NodePeer`` and
/// `skip SECONDS` (of its clock), prints what happens, and ends with its standard input.
@main
struct InteropPeer {
  static func main() throws {
    var seed: [UInt8]?
    var suites = AEADSuite.allCases
    let arguments = CommandLine.arguments.dropFirst()
    for argument in arguments {
      if argument.hasPrefix("seed=") { seed = [UInt8](hex: String(argument.dropFirst(5))) }
      if argument.hasPrefix("suites=") {
        suites = argument.dropFirst(7).split(separator: ",").compactMap { UInt8($0) }
          .compactMap(AEADSuite.init)
      }
    }
    let identity = try seed.map { try IdentityKey(seed: $0) } ?? IdentityKey()
    let socket = try LoopbackSocket()
    var clock = SkippingClock()
    StandardStreams.print(
      "listening", "\(socket.port)", identity.keyHash.description, identity.publicKey.bytes.hex)
    if arguments.contains("node") {
      var peer = try NodePeer(identity: identity, suites: suites, socket: socket, now: clock.now)
      peer.serve(socket, &clock)
    } else {
      var peer = SessionPeer(
        identity: identity, suites: suites, demandsCookies: arguments.contains("cookies"), socket: socket,
        now: clock.now)
      peer.serve(socket, &clock)
    }
  }

  /// The system's randomness.
  static func random(_ count: Int) -> [UInt8] { (0..<count).map { _ in .random(in: 0...255) } }
}
