import CLinux
import Daemon
import Glibc
import Testing

@testable import NodeHost

/// A device whose other end the test holds: a socket pair that keeps packets apart.
struct PairedDevice: PacketDevice {
  let name = "paired"
  private let owner: Descriptor
  /// The test's end.
  let far: Descriptor

  var descriptor: Int32 { owner.number }

  init() throws {
    var ends: [Int32] = [-1, -1]
    try #require(socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue | SOCK_NONBLOCK.rawValue), 0, &ends) == 0)
    owner = Descriptor(ends[0])
    far = Descriptor(ends[1])
  }

  func close() { owner.close() }

  /// Gives the loop a packet.
  func put(_ packet: [UInt8]) { #expect(write(far.number, packet, packet.count) == packet.count) }

  /// The next packet that the loop delivers, or nil when none comes within `patience` milliseconds. Empty
  /// when the loop closed its end.
  func take(patience: Int32 = 10_000) -> [UInt8]? {
    var request = pollfd(fd: far.number, events: Int16(POLLIN), revents: 0)
    guard poll(&request, 1, patience) == 1 else { return nil }
    var packet = [UInt8](repeating: 0, count: 70_000)
    let count = read(far.number, &packet, packet.count)
    return count < 0 ? nil : Array(packet[..<count])
  }
}
