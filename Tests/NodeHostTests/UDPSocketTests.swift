import CLinux
import Daemon
import Glibc
import MeshWire
import Testing

@testable import NodeHost

@Suite("UDP socket")
struct UDPSocketTests {
  /// Reads batches until `count` datagrams came, or none comes for `patience` milliseconds.
  static func collect(
    _ count: Int, from socket: UDPSocket, patience: Int32 = 2_000
  ) throws -> [(from: Endpoint, bytes: [UInt8])] {
    var receiver = try DatagramReceiver()
    var found: [(from: Endpoint, bytes: [UInt8])] = []
    while found.count < count {
      var request = pollfd(fd: socket.descriptor.number, events: Int16(POLLIN), revents: 0)
      guard poll(&request, 1, patience) == 1 else { break }
      for index in 0..<(try receiver.receive(from: socket)) {
        let slot = receiver.slot(index)
        for start in stride(from: 0, to: max(1, slot.count), by: slot.segment) {
          let size = min(slot.segment, slot.count - start)
          found.append((slot.from, (0..<max(0, size)).map { slot.bytes[start + $0] }))
        }
      }
    }
    return found
  }

  static func put(_ bytes: [UInt8], to endpoint: Endpoint, in sender: inout DatagramSender) throws {
    guard let space = sender.space(for: bytes.count) else { throw SystemError.outOfMemory }
    for (place, byte) in bytes.enumerated() { space[place] = byte }
    sender.commit(bytes.count, to: endpoint)
  }

  @Test(
    "batches to several peers arrive whole, in order and from the right address, over both families",
    arguments: [IPAddress.v4(0x7f00_0001), .v6(1)])
  func batches(loopback: IPAddress) throws {
    let source = try UDPSocket(port: 0, address: loopback)
    let first = try UDPSocket(port: 0)
    let second = try UDPSocket(port: 0, address: loopback)
    defer { for socket in [source, first, second] { socket.close() } }
    var sender = try DatagramSender()
    // Runs of equal size, ended by a shorter one, by a longer one and by a change of address.
    let sizes = [1_200, 1_200, 1_200, 40, 500, 1_232, 1_232, 7, 7, 0, 9]
    for (index, size) in sizes.enumerated() {
      let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 + index) }
      try Self.put(bytes, to: Endpoint(loopback, port: first.local.port), in: &sender)
      if index % 4 == 3 { try Self.put([UInt8(index)], to: second.local, in: &sender) }
    }
    sender.flush(to: source)
    let counts = sender.counts
    #expect(counts.sent == 13)
    #expect(counts.sent_bytes == UInt64(sizes.reduce(2, +)))

    let atFirst = try Self.collect(sizes.count, from: first)
    #expect(atFirst.map(\.bytes.count) == sizes)
    #expect(atFirst.allSatisfy { $0.from == source.local })
    for (index, datagram) in atFirst.enumerated() {
      #expect(datagram.bytes == (0..<sizes[index]).map { UInt8(truncatingIfNeeded: $0 + index) })
    }
    #expect(try Self.collect(2, from: second).map(\.bytes) == [[3], [7]])
  }

  @Test("more than 64 equal datagrams to one peer are several messages, none lost")
  func longRun() throws {
    let source = try UDPSocket(port: 0, address: .v6(1))
    let target = try UDPSocket(port: 0, address: .v6(1))
    defer { for socket in [source, target] { socket.close() } }
    var sender = try DatagramSender()
    for index in 0..<200 { try Self.put([UInt8(index), 1, 2], to: target.local, in: &sender) }
    sender.flush(to: source)
    let counts = sender.counts
    #expect(counts.sent == 200)
    #expect(try Self.collect(200, from: target).map(\.bytes[0]) == (0..<200).map { UInt8($0) })
  }

  @Test("the send buffer is bounded: it asks for a flush instead of growing")
  func sendBufferBound() throws {
    let source = try UDPSocket(port: 0, address: .v6(1))
    defer { source.close() }
    var sender = try DatagramSender()
    var messages = 0
    while sender.space(for: 100) != nil {
      sender.commit(100, to: Endpoint(.v6(1), port: UInt16(20_000 + messages)))
      messages += 1
    }
    #expect(messages == DatagramSender.batch - 1)
    sender.flush(to: source)
    let hasRoom = sender.space(for: DatagramSender.capacity) != nil
    let hasTooMuch = sender.space(for: DatagramSender.capacity + 1) != nil
    #expect(hasRoom)
    #expect(!hasTooMuch)
  }

  @Test("a datagram that cannot go is dropped and counted by reason, and those behind it still go")
  func failures() throws {
    let source = try UDPSocket(port: 0)
    let target = try UDPSocket(port: 0, address: .v4(0x7f00_0001))
    defer { for socket in [source, target] { socket.close() } }
    var sender = try DatagramSender()
    try Self.put([1], to: Endpoint(.v4(0x7f00_0001), port: 0), in: &sender)
    try Self.put([2], to: target.local, in: &sender)
    try Self.put([3], to: Endpoint(.v4(.max), port: 9), in: &sender)
    try Self.put(Array(repeating: 0, count: 66_000), to: target.local, in: &sender)
    try Self.put([4], to: target.local, in: &sender)
    sender.flush(to: source)
    let counts = sender.counts
    #expect(counts.sent == 2)
    #expect(counts.too_big == 1)
    #expect(counts.failed + counts.unreachable == 2)
    #expect(try Self.collect(2, from: target).map(\.bytes) == [[2], [4]])
  }

  @Test("a datagram too large for the path is refused, never fragmented: the don't-fragment setting")
  func neverFragments() throws {
    let socket = try UDPSocket(port: 0)
    defer { socket.close() }
    for (level, option) in [(Int32(IPPROTO_IP), IP_MTU_DISCOVER), (Int32(IPPROTO_IPV6), IPV6_MTU_DISCOVER)] {
      var value: Int32 = -1
      var size = socklen_t(MemoryLayout<Int32>.size)
      #expect(getsockopt(socket.descriptor.number, level, option, &value, &size) == 0)
      #expect(value == 2)
    }
  }

  @Test("a taken port is refused with its number and the next step")
  func takenPort() throws {
    let first = try UDPSocket(port: 0)
    defer { first.close() }
    let error = #expect(throws: UDPSocketError.self) { try UDPSocket(port: first.local.port) }
    let text = try #require(error).description
    #expect(text.contains("UDP port \(first.local.port) is in use"))
    #expect(text.contains("give listen_port another"))
  }

  @Test("nothing waiting is no error")
  func nothingWaits() throws {
    let socket = try UDPSocket(port: 0, address: .v6(1))
    defer { socket.close() }
    var receiver = try DatagramReceiver()
    #expect(try receiver.receive(from: socket) == 0)
  }
}

@Suite("Mapped addresses")
struct MappedAddressTests {
  @Test(
    "every endpoint comes back as it was: IPv4 mapped, IPv6 as it is",
    arguments: ["127.0.0.1:1", "255.255.255.255:65535", "[::1]:8443", "[fd73:6d00::7]:9", "[::fffe:0:1]:3"])
  func roundTrip(text: String) throws {
    let endpoint = try #require(Endpoint(text))
    #expect(clinux_endpoint(endpoint).endpoint == endpoint)
  }

  @Test("a stranger cannot name loopback as a mapped address: a dual-stack socket would go there")
  func mappedIsNotDialable() throws {
    #expect(try #require(Endpoint("[::ffff:7f00:1]:80")).isDialable == false)
  }

  @Test("192.0.2.1 is ::ffff:c000:201 on the socket")
  func mapping() throws {
    let raw = clinux_endpoint(try #require(Endpoint("192.0.2.1:4")))
    #expect((raw.high, raw.low, raw.port) == (0, 0xffff_c000_0201, 4))
  }
}
