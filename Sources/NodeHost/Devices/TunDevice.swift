import CLinux
import Daemon
import Glibc
public import MeshWire

/// A TUN device without packet information, that goes away with its last descriptor.
public struct TunDevice: PacketDevice {
  /// The smallest MTU that IPv6 allows (RFC 8200 §5); the overlay never has less.
  public static let minimumMTU: UInt32 = 1_280
  /// The longest name that the kernel takes, in bytes.
  public static let longestName = Int(CLINUX_NAME_SIZE) - 1
  /// fd73:6d00::/24, where every overlay address lies.
  private static let overlayPrefix: [UInt8] = [0xfd, 0x73, 0x6d] + Array(repeating: 0, count: 13)
  private static let overlayHalves: [(prefix: [UInt8], text: String)] = [
    (overlayPrefix, "fd73:6d00::/25"),
    ([0xfd, 0x73, 0x6d, 0x80] + Array(repeating: 0, count: 12), "fd73:6d80::/25"),
  ]

  public let name: String
  private let owner: Descriptor
  private let index: Int32

  public var descriptor: Int32 { owner.number }

  /// Makes the device. Empty, or with `%d` in it, the name is the kernel's choice.
  public init(name: String, path: String = "/dev/net/tun") throws(TunDeviceError) {
    let isSpelled = !name.utf8.contains { $0 <= 32 || $0 == UInt8(ascii: "/") || $0 > 126 }
    guard name.utf8.count <= Self.longestName, isSpelled else {
      throw TunDeviceError(name: name, reason: .badName)
    }
    var buffer = [CChar](repeating: 0, count: Int(CLINUX_NAME_SIZE))
    for (place, byte) in name.utf8.enumerated() { buffer[place] = CChar(bitPattern: byte) }
    var wasOpened = false
    let result = unsafe clinux_tun_open(path, &buffer, &wasOpened)
    guard result >= 0 else {
      throw TunDeviceError(name: name, reason: .opening(-result, path: path, wasOpened: wasOpened))
    }
    owner = Descriptor(result)
    self.name = String(
      decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    index = unsafe clinux_interface_index(buffer)
    guard index > 0 else { throw TunDeviceError(name: self.name, reason: .configuring(-index, "find it")) }
  }

  /// Gives the device its address and the route of the whole overlay, and takes it up.
  ///
  /// The route is there twice: for what has no address yet, which takes that of the device, and for what
  /// comes from the device's own address. Without the second all traffic of two nodes on one machine would go
  /// out of the device of the first. The second is in halves: at a prefix that has routes by source Linux
  /// sees no others, and on a machine with IPv6 what has no address yet would leave by the default route.
  public func configure(address: OverlayAddress, mtu: UInt32 = minimumMTU) throws(TunDeviceError) {
    let bytes = address.address.bytes
    // Only saves packets that the node would drop: an older kernel without this setting will do.
    _ = clinux_interface_no_autoconf(index)
    try set(mtu: mtu)
    try check(clinux_interface_up(index), "take it up")
    try check(unsafe clinux_interface_address(index, bytes), "set its address \(address)")
    try check(unsafe clinux_interface_route(index, Self.overlayPrefix, 24, nil), "route fd73:6d00::/24 to it")
    for (prefix, text) in Self.overlayHalves {
      let result = unsafe clinux_interface_route(index, prefix, 25, bytes)
      // A kernel that knows no routes by source: one node a machine works there as well.
      if result != -EINVAL { try check(result, "route \(text) from \(address) to it") }
    }
  }

  /// Changes the MTU, in bytes of IP packet.
  public func set(mtu: UInt32) throws(TunDeviceError) {
    try check(clinux_interface_mtu(index, mtu), "set its MTU to \(mtu)")
  }

  /// Closes the descriptor, with which the device and its route go away.
  public func close() { owner.close() }

  private func check(_ result: Int32, _ step: String) throws(TunDeviceError) {
    if result < 0 { throw TunDeviceError(name: name, reason: .configuring(-result, step)) }
  }
}

/// Why there is no TUN device, and what to do about it.
public struct TunDeviceError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Which step failed, with the errno.
  public enum Reason: Hashable, Sendable {
    case badName
    /// Opening the device file, or (`wasOpened`) making the interface.
    case opening(Int32, path: String, wasOpened: Bool)
    case configuring(Int32, String)
  }

  /// The interface's name.
  public let name: String
  public let reason: Reason

  /// Whether more rights would help.
  public var isPermission: Bool {
    switch reason {
    case .badName: false
    case .opening(let code, _, _), .configuring(let code, _): code == EPERM || code == EACCES
    }
  }

  /// One line for a person: the device, the reason, the next step.
  public var description: String {
    let rights = "needs CAP_NET_ADMIN: run as root or use the systemd unit"
    switch reason {
    case .badName:
      return "'\(name)' cannot be the name of an interface: use 1 to 15 letters, digits, '-' or '_'"
    case .opening(let code, let path, false):
      switch code {
      case ENOENT, ENODEV, ENXIO:
        return "\(path) is missing: load the kernel's module with `modprobe tun`"
      case EACCES:
        return "\(path) cannot be opened: its mode keeps this user out: `chmod 666 \(path)`, or run as root"
      case EPERM:
        return "\(path) cannot be opened: the container or unit that this runs in does not allow the device"
      default: return "\(path) cannot be opened: \(SystemError(code: code))"
      }
    case .opening(let code, _, true):
      switch code {
      case EPERM, EACCES: return "TUN device \(name) \(rights)"
      case EBUSY: return "TUN device \(name) is in use by another program: configure another name"
      case EINVAL, EEXIST:
        return "an interface named \(name) exists and is not a TUN device: configure another name"
      default: return "TUN device \(name) cannot be made: \(SystemError(code: code))"
      }
    case .configuring(let code, let step):
      if isPermission { return "TUN device \(name) \(rights) (could not \(step))" }
      return "TUN device \(name): could not \(step): \(SystemError(code: code))"
    }
  }
}
