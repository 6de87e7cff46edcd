import CLinux
public import Daemon

/// A device without packets, for a node that carries none: nothing ever comes from it, and it refuses what is
/// given to it, which the loop counts.
public struct NullDevice: PacketDevice {
  public let name = "none"
  private let owner: Descriptor

  public var descriptor: Int32 { owner.number }

  /// Opens a timer that is never set: a descriptor that can be waited for, that has no input and takes no
  /// output (EINVAL).
  public init() throws(SystemError) { owner = Descriptor(try SystemError.check(clinux_timer_open())) }

  /// Closes the descriptor.
  public func close() { owner.close() }
}
