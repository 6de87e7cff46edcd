import Glibc
import MeshCrypto
import MeshWire

/// `smh1-interop-peer [seed=HEX] [suites=1,2] [cookies]`: the session core, driven by lines.
///
/// It prints `listening PORT KEYHASH PUBLICKEY`, takes `connect PORT KEYHASH [PUBLICKEY]`,
/// `packet KEYHASH HEX`, `control KEYHASH HEX`, `refuse KEYHASH` and `skip SECONDS` (of its clock), prints
/// what happens, and ends with its standard input.
@main
struct InteropPeer {
  static func main() throws {
    var seed: [UInt8]?
    var suites = AEADSuite.allCases
    var demandsCookies = false
    for argument in CommandLine.arguments.dropFirst() {
      if argument.hasPrefix("seed=") { seed = [UInt8](hex: String(argument.dropFirst(5))) }
      if argument.hasPrefix("suites=") {
        suites = argument.dropFirst(7).split(separator: ",").compactMap { UInt8($0) }
          .compactMap(AEADSuite.init)
      }
      if argument == "cookies" { demandsCookies = true }
    }
    let identity = try seed.map { try IdentityKey(seed: $0) } ?? IdentityKey()
    let socket = try LoopbackSocket()
    var clock = SkippingClock()
    var peer = SessionPeer(
      identity: identity, suites: suites, demandsCookies: demandsCookies, socket: socket, now: clock.now)
    StandardStreams.print(
      "listening", "\(socket.port)", identity.keyHash.description, identity.publicKey.bytes.hex)
    serve(&peer, &clock)
  }

  private static func serve(_ peer: inout SessionPeer, _ clock: inout SkippingClock) {
    var streams = StandardStreams()
    while !streams.isClosed {
      var watched = [
        pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
        pollfd(fd: peer.socket.descriptor, events: Int16(POLLIN), revents: 0),
      ]
      poll(&watched, 2, patience(until: peer.nextDeadline, at: clock.now))
      if watched[0].revents != 0 {
        for line in streams.readLines() { obey(line, &peer, &clock) }
      }
      while let (datagram, source) = peer.socket.receive() {
        peer.receive(datagram, from: source, now: clock.now)
      }
      peer.advance(to: clock.now)
    }
  }

  /// Milliseconds to wait, rounded up so that the deadline has passed at the end.
  private static func patience(until deadline: Instant?, at now: Instant) -> Int32 {
    guard let deadline else { return -1 }
    return Int32(clamping: max(0, ((deadline - now).wholeNanoseconds + 999_999) / 1_000_000))
  }

  private static func obey(_ line: String, _ peer: inout SessionPeer, _ clock: inout SkippingClock) {
    let words = line.split(separator: " ").map(String.init)
    let now = clock.now
    switch words.first {
    case "connect" where words.count >= 3:
      guard let port = UInt16(words[1]), let keyHash = KeyHash(hex: words[2]) else { break }
      let key = words.count > 3 ? [UInt8](hex: words[3]).flatMap { IdentityPublicKey($0) } : nil
      let endpoint = Endpoint(IPAddress.v4(0x7f00_0001), port: port)
      return peer.connect(to: keyHash, key: key, at: endpoint, now: now)
    case "packet" where words.count == 3:
      guard let keyHash = KeyHash(hex: words[1]), let bytes = [UInt8](hex: words[2]) else { break }
      return peer.send(packet: bytes, to: keyHash, now: now)
    case "control" where words.count == 3:
      guard let keyHash = KeyHash(hex: words[1]), let bytes = [UInt8](hex: words[2]) else { break }
      return peer.send(control: bytes, to: keyHash, now: now)
    case "refuse" where words.count == 2:
      guard let keyHash = KeyHash(hex: words[1]) else { break }
      return peer.refuse(keyHash)
    case "skip" where words.count == 2:
      guard let seconds = Int(words[1]) else { break }
      return clock.skip(.seconds(seconds))
    default: break
    }
    StandardStreams.print("error", "unknown-line")
  }
}

/// The system's monotonic clock, which a test may turn forward instead of waiting.
private struct SkippingClock {
  private var skipped = Duration.zero

  var now: Instant {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Instant(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)) + skipped
  }

  mutating func skip(_ duration: Duration) { skipped = skipped + duration }
}
