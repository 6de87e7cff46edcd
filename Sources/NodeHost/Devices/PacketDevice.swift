/// Where IP packets come from and go to: a TUN device, or a socket pair in tests. Each read(2) and each
/// write(2) of the descriptor moves one whole packet; it must not block.
public protocol PacketDevice: Sendable {
  /// The interface's name.
  var name: String { get }

  /// A non-blocking descriptor that keeps packets apart.
  var descriptor: Int32 { get }

  /// Closes the descriptor. Called once by who drives the device, when nothing uses it any more.
  func close()
}
