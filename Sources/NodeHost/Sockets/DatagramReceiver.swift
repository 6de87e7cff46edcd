import CLinux
import Daemon
import MeshWire

/// Preallocated buffers for reading datagrams in batches. Belongs to one thread.
@safe struct DatagramReceiver: ~Copyable {
  /// Entries a call; each holds one datagram, or up to 64 that the kernel joined (UDP_GRO).
  static let slots = 16

  /// What one entry holds: `count` bytes in `segment`-sized datagrams, the last of which may be shorter.
  @unsafe struct Slot {
    let bytes: UnsafeMutablePointer<UInt8>
    let count: Int
    let segment: Int
    let from: Endpoint
    /// The datagram was larger than any UDP datagram can be; its end is lost.
    let isTruncated: Bool
  }

  private let buffers: OpaquePointer

  init() throws(SystemError) {
    guard let buffers = unsafe clinux_receiver_create(UInt32(Self.slots)) else {
      throw SystemError.outOfMemory
    }
    unsafe self.buffers = unsafe buffers
  }

  deinit { unsafe clinux_receiver_destroy(buffers) }

  /// Takes what waits at the socket, at most ``slots`` entries; 0 when nothing waits.
  mutating func receive(from socket: borrowing UDPSocket) throws(SystemError) -> Int {
    let result = unsafe clinux_receive(buffers, socket.descriptor.number)
    if result == SystemError.wouldBlock { return 0 }
    return Int(try SystemError.check(result))
  }

  /// Entry `index` of the last batch. Its bytes may be changed, and last until the next `receive`.
  func slot(_ index: Int) -> Slot {
    let raw = unsafe clinux_receiver_slot(buffers, UInt32(index))
    return unsafe Slot(
      bytes: raw.bytes, count: Int(raw.count), segment: max(1, Int(raw.segment)),
      from: raw.from.endpoint, isTruncated: raw.truncated)
  }
}
