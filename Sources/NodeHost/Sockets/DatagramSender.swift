import CLinux
import Daemon
import MeshWire

/// A preallocated buffer in which datagrams are laid one behind the other, and which goes to the kernel in
/// one call. Neighbours of one size to one address become one message (UDP_SEGMENT). Belongs to one thread.
@safe struct DatagramSender: ~Copyable {
  /// Messages a call.
  static let batch = Int(CLINUX_BATCH)
  /// Datagrams that the kernel takes as one message: its UDP_MAX_SEGMENTS before Linux 6.9.
  static let segmentLimit = 64
  /// Bytes of one message: under the largest UDP payload of either family.
  static let runLimit = 65_000
  /// Bytes of the whole buffer.
  static let capacity = 512 << 10

  private(set) var counts = clinux_send_counts()
  private let sender: OpaquePointer
  private let buffer: UnsafeMutablePointer<UInt8>
  private let runs: UnsafeMutablePointer<clinux_run>
  private var runCount = 0
  private var used = 0
  /// The last run takes no more: it ended in a shorter datagram, or it is full.
  private var isClosed = true
  private var lastEndpoint = Endpoint(.v4(0), port: 0)

  init() throws(SystemError) {
    guard let sender = unsafe clinux_sender_create() else { throw SystemError.outOfMemory }
    unsafe self.sender = unsafe sender
    unsafe buffer = UnsafeMutablePointer.allocate(capacity: Self.capacity)
    unsafe runs = UnsafeMutablePointer.allocate(capacity: Self.batch)
  }

  deinit {
    unsafe clinux_sender_destroy(sender)
    unsafe buffer.deallocate()
    unsafe runs.deallocate()
  }

  /// Datagrams laid down and not yet flushed exist.
  var isEmpty: Bool { runCount == 0 }

  /// Room for `count` bytes at the place where the next datagram begins; `nil` until the next flush when
  /// there is none (and also when two more messages would not fit).
  func space(for count: Int) -> UnsafeMutableBufferPointer<UInt8>? {
    guard used + count <= Self.capacity, runCount + 2 <= Self.batch else { return nil }
    return unsafe UnsafeMutableBufferPointer(start: buffer + used, count: Self.capacity - used)
  }

  /// Declares the next `count` bytes, which the caller wrote through ``space(for:)``, a datagram to
  /// `endpoint`.
  mutating func commit(_ count: Int, to endpoint: Endpoint) {
    let start = unsafe buffer + used
    used += count
    if !isClosed, endpoint == lastEndpoint {
      let last = runCount - 1
      let segment = unsafe Int(runs[last].segment)
      let total = unsafe Int(runs[last].count)
      if count <= segment, count > 0, total + count <= Self.runLimit, total < segment * Self.segmentLimit {
        unsafe runs[last].count += UInt32(count)
        isClosed = count < segment
        return
      }
    }
    unsafe runs[runCount] = clinux_run(
      to: clinux_endpoint(endpoint), bytes: start, count: UInt32(count), segment: UInt32(count))
    runCount += 1
    lastEndpoint = endpoint
    isClosed = count == 0
  }

  /// Sends everything laid down. What the socket does not take at once is dropped and counted in ``counts``.
  mutating func flush(to socket: borrowing UDPSocket) {
    guard runCount > 0 else { return }
    unsafe clinux_send(sender, socket.descriptor.number, runs, UInt32(runCount), &counts)
    runCount = 0
    used = 0
    isClosed = true
  }
}
