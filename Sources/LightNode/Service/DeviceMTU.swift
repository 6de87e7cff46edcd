import Logging
import MeshNode
import Synchronization

/// The MTU of the TUN device: what the configuration says, or what the paths of all peers carry whole.
final class DeviceMTU: Sendable {
  private let wanted: LightNodeConfiguration.MTU
  private let set: @Sendable (Int) throws -> Void
  private let logger: Logger
  private let value: Mutex<Int>

  /// `set` changes the device.
  init(_ wanted: LightNodeConfiguration.MTU, logger: Logger, set: @escaping @Sendable (Int) throws -> Void) {
    self.wanted = wanted
    self.set = set
    self.logger = logger
    value = Mutex(Self.first(wanted))
  }

  /// What the device begins with.
  static func first(_ wanted: LightNodeConfiguration.MTU) -> Int {
    if case .fixed(let bytes) = wanted { bytes } else { MeshNode.minimumMTU }
  }

  /// What the device has now.
  var current: Int { value.withLock { $0 } }

  /// The paths of all peers carry packets of this many bytes from here on.
  func follow(_ bytes: Int) {
    guard wanted == .auto else { return }
    value.withLock { value in
      guard value != bytes else { return }
      do {
        try set(bytes)
        logger.info(
          "the device's MTU follows the paths", metadata: ["mtu": "\(bytes)", "before": "\(value)"])
        value = bytes
      } catch {
        logger.warning(
          "the device's MTU could not be changed", metadata: ["mtu": "\(bytes)", "reason": "\(error)"])
      }
    }
  }
}
