/// Plain counts of one wake-up, flushed to the metrics at its end: a packet costs an addition, not a look-up.
struct LoopCounts {
  var datagramsIn: UInt64 = 0
  var datagramBytesIn: UInt64 = 0
  var datagramsOut: UInt64 = 0
  var datagramBytesOut: UInt64 = 0
  var packetsFromDevice: UInt64 = 0
  var packetBytesFromDevice: UInt64 = 0
  var packetsToDevice: UInt64 = 0
  var packetBytesToDevice: UInt64 = 0
  /// A drop is the rare case: a dictionary will do. What the core drops is in its own counters.
  var hostDrops: [HostDrop: UInt64] = [:]
  var refusedJobs: UInt64 = 0
  var lostNotices: UInt64 = 0
}

/// Why the shell dropped something that the core did not refuse. Labels of the metric
/// `shadowmesh_drops_total`.
enum HostDrop: String, CaseIterable {
  case sendBufferFull = "send_buffer_full"
  case datagramTooBig = "datagram_too_big"
  case unreachable
  case sendFailed = "send_failed"
  case truncated
  case socketError = "socket_error"
  case deviceFull = "device_full"
  case deviceRefused = "device_refused"
  /// A stream's queue, or that of all streams, was full.
  case streamFull = "stream_full"
  /// For a stream that had ended.
  case streamGone = "stream_gone"
  /// More came out of streams than the loop took.
  case streamInboxFull = "stream_inbox_full"
  /// From, or to, an address that stands for a circuit or a stream, where it must not occur.
  case noCarrier = "no_carrier"
}
