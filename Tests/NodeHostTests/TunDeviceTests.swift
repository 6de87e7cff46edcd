import CLinux
import Glibc
import MeshWire
import Testing

@testable import NodeHost

@Suite("TUN device")
struct TunDeviceTests {
  @Test(
    "a device gets its address, MTU and the route of the overlay, and carries packets both ways",
    .enabled(if: mayMakeDevices, needsDevices))
  func carriesPackets() throws {
    let result = inNetworkNamespace {
      Result {
        let address = try #require(OverlayAddress(.v6(0xfd73_6d01 << 96 | 1)))
        let device = try TunDevice(name: "mesh%d")
        defer { device.close() }
        #expect(device.name == "mesh0")
        try device.configure(address: address)
        try device.set(mtu: 1_400)

        // The route: a datagram to another overlay address leaves by the device, from our address.
        let socket = try UDPSocket(port: 0)
        defer { socket.close() }
        var sender = try DatagramSender()
        let peer = Endpoint(.v6(0xfd73_6dff << 96 | 9), port: 7)
        try UDPSocketTests.put([1, 2, 3], to: peer, in: &sender)
        sender.flush(to: socket)
        let counts = sender.counts
        #expect(counts.sent == 1)
        var packet = [UInt8](repeating: 0, count: 2_000)
        #expect(read(device.descriptor, &packet, packet.count) == 40 + 8 + 3)
        #expect(Array(packet[8..<24]) == address.address.bytes)
        #expect(Array(packet[24..<40]) == peer.address.bytes)

        // The way back: the same packet with its ends exchanged.
        let swapped = packet[24..<40] + packet[8..<24]
        packet.replaceSubrange(8..<40, with: swapped)
        let ports = packet[42..<44] + packet[40..<42]
        packet.replaceSubrange(40..<44, with: ports)
        var received: [(from: Endpoint, bytes: [UInt8])] = []
        // The kernel makes the address reachable on a work queue, a moment after it was set.
        for _ in 0..<50 where received.isEmpty {
          #expect(write(device.descriptor, packet, 51) == 51)
          received = try UDPSocketTests.collect(1, from: socket, patience: 100)
        }
        #expect(received.map(\.bytes) == [[1, 2, 3]])
        #expect(received.first?.from == peer)
      }
    }
    try #require(result).get()
  }

  @Test(
    "of two nodes on one machine each sends by its own device, whatever the order they came and went in",
    .enabled(if: mayMakeDevices, needsDevices))
  func twoNodes() throws {
    let result = inNetworkNamespace {
      Result {
        let addresses = try [1, 2].map { try #require(OverlayAddress(.v6(0xfd73_6d01 << 96 | $0))) }
        let devices = try addresses.map { _ in try TunDevice(name: "mesh%d") }
        for (device, address) in zip(devices, addresses) { try device.configure(address: address) }
        for (device, address) in zip(devices, addresses) {
          #expect(try Self.sender(ofPacketFrom: address, outOf: device) == address.address.bytes)
        }
        // Whoever chooses no address gets that of a device which is there.
        #expect(try Self.sender(ofPacketFrom: nil, outOf: devices[0]) == addresses[0].address.bytes)
        devices[0].close()
        #expect(try Self.sender(ofPacketFrom: nil, outOf: devices[1]) == addresses[1].address.bytes)
        devices[1].close()
      }
    }
    try #require(result).get()
  }

  @Test(
    "on a machine with IPv6 what has no address yet leaves by the device, not by the default route",
    .enabled(if: mayMakeDevices, needsDevices))
  func besideDefaultRoute() throws {
    let result = inNetworkNamespace {
      Result {
        let uplink = try TunDevice(name: "uplink")
        defer { uplink.close() }
        let index = unsafe clinux_interface_index("uplink")
        #expect(clinux_interface_up(index) == 0)
        let own: [UInt8] = [0x20, 0x01, 0x0d, 0xb8] + Array(repeating: 0, count: 11) + [2]
        #expect(unsafe clinux_interface_address(index, own) == 0)
        #expect(unsafe clinux_interface_route(index, Array(repeating: 0, count: 16), 0, nil) == 0)

        let address = try #require(OverlayAddress(.v6(0xfd73_6d01 << 96 | 1)))
        let device = try TunDevice(name: "mesh%d")
        defer { device.close() }
        try device.configure(address: address)
        for target in [UInt128(0xfd73_6d00), 0xfd73_6d7f, 0xfd73_6d80, 0xfd73_6dff] {
          let source = try Self.sender(ofPacketFrom: nil, to: target << 96 | 9, outOf: device)
          #expect(source == address.address.bytes)
        }
      }
    }
    try #require(result).get()
  }

  /// Sends a datagram to another overlay address, and returns the source of the packet that the device has.
  private static func sender(
    ofPacketFrom source: OverlayAddress?, to target: UInt128 = 0xfd73_6dff << 96 | 9, outOf device: TunDevice
  ) throws -> [UInt8] {
    let socket = try UDPSocket(port: 0, address: source?.address ?? .v6(0))
    defer { socket.close() }
    var sender = try DatagramSender()
    try UDPSocketTests.put([1, 2, 3], to: Endpoint(.v6(target), port: 7), in: &sender)
    sender.flush(to: socket)
    #expect(sender.counts.sent == 1)
    var packet = [UInt8](repeating: 0, count: 2_000)
    #expect(read(device.descriptor, &packet, packet.count) == 40 + 8 + 3)
    return Array(packet[8..<24])
  }

  @Test(
    "a name in use is refused with the next step, and the device is gone once closed",
    .enabled(if: mayMakeDevices, needsDevices))
  func nameTaken() throws {
    let result = inNetworkNamespace {
      Result {
        let first = try TunDevice(name: "meshtaken")
        let error = #expect(throws: TunDeviceError.self) { try TunDevice(name: "meshtaken") }
        #expect(try #require(error).description.contains("meshtaken is in use by another program"))
        first.close()
        try TunDevice(name: "meshtaken").close()
        let other = #expect(throws: TunDeviceError.self) { try TunDevice(name: "lo") }
        #expect(try #require(other).description.contains("configure another name"))
      }
    }
    try #require(result).get()
  }

  @Test("a missing device file says which module to load")
  func missingDeviceFile() throws {
    let error = #expect(throws: TunDeviceError.self) { try TunDevice(name: "x", path: "/nowhere/net/tun") }
    #expect(
      try #require(error).description
        == "/nowhere/net/tun is missing: load the kernel's module with `modprobe tun`")
  }

  @Test(
    "names that no interface can have are refused before the kernel sees them",
    arguments: ["sixteen-letters!", "a b", "a/b", "ü"])
  func badNames(name: String) {
    #expect(throws: TunDeviceError(name: name, reason: .badName)) { try TunDevice(name: name) }
  }

  @Test("missing rights name the capability")
  func missingRights() {
    let error = TunDeviceError(
      name: "mesh0", reason: .opening(EPERM, path: "/dev/net/tun", wasOpened: true))
    #expect(error.isPermission)
    #expect(error.description.contains("needs CAP_NET_ADMIN: run as root or use the systemd unit"))
  }

  @Test(
    "a device file that cannot be opened names the file: no capability would help",
    arguments: [(EACCES, "`chmod 666 /dev/net/tun`"), (EPERM, "container or unit")])
  func closedDeviceFile(code: Int32, advice: String) {
    let error = TunDeviceError(
      name: "mesh0", reason: .opening(code, path: "/dev/net/tun", wasOpened: false))
    #expect(error.isPermission)
    #expect(error.description.hasPrefix("/dev/net/tun cannot be opened: "))
    #expect(error.description.contains(advice))
    #expect(!error.description.contains("CAP_NET_ADMIN"))
  }
}
