import MeshNode
import Metrics

/// The metric objects of a loop, made once.
struct NodeMetrics {
  private let datagramsIn = Counter(label: "shadowmesh.datagrams", dimensions: [("direction", "in")])
  private let datagramsOut = Counter(label: "shadowmesh.datagrams", dimensions: [("direction", "out")])
  private let datagramBytesIn = Counter(label: "shadowmesh.datagram_bytes", dimensions: [("direction", "in")])
  private let datagramBytesOut = Counter(
    label: "shadowmesh.datagram_bytes", dimensions: [("direction", "out")])
  private let packetsIn = Counter(label: "shadowmesh.packets", dimensions: [("direction", "in")])
  private let packetsOut = Counter(label: "shadowmesh.packets", dimensions: [("direction", "out")])
  private let packetBytesIn = Counter(label: "shadowmesh.packet_bytes", dimensions: [("direction", "in")])
  private let packetBytesOut = Counter(label: "shadowmesh.packet_bytes", dimensions: [("direction", "out")])
  private let batchIn = Recorder(label: "shadowmesh.batch_datagrams", dimensions: [("direction", "in")])
  private let batchOut = Recorder(label: "shadowmesh.batch_datagrams", dimensions: [("direction", "out")])
  private let refusedJobs = Counter(label: "shadowmesh.crypto_jobs_refused")
  private let lostNotices = Counter(label: "shadowmesh.notices_lost")
  private let refusedCommands = Counter(label: "shadowmesh.commands_refused")
  private var coreDrops: [DropReason: Counter] = [:]
  private var hostDrops: [HostDrop: Counter] = [:]

  init() {
    for reason in DropReason.allCases { coreDrops[reason] = Self.drops(reason.rawValue) }
    for reason in HostDrop.allCases { hostDrops[reason] = Self.drops(reason.rawValue) }
  }

  private static func drops(_ reason: String) -> Counter {
    Counter(label: "shadowmesh.drops", dimensions: [("reason", reason)])
  }

  /// Adds what one wake-up counted, and clears it.
  func flush(_ counts: inout LoopCounts, refusedCommands refused: UInt64) {
    if counts.datagramsIn > 0 {
      datagramsIn.increment(by: counts.datagramsIn)
      datagramBytesIn.increment(by: counts.datagramBytesIn)
      batchIn.record(counts.datagramsIn)
    }
    if counts.datagramsOut > 0 {
      datagramsOut.increment(by: counts.datagramsOut)
      datagramBytesOut.increment(by: counts.datagramBytesOut)
      batchOut.record(counts.datagramsOut)
    }
    if counts.packetsToDevice > 0 {
      packetsIn.increment(by: counts.packetsToDevice)
      packetBytesIn.increment(by: counts.packetBytesToDevice)
    }
    if counts.packetsFromDevice > 0 {
      packetsOut.increment(by: counts.packetsFromDevice)
      packetBytesOut.increment(by: counts.packetBytesFromDevice)
    }
    if counts.refusedJobs > 0 { refusedJobs.increment(by: counts.refusedJobs) }
    if counts.lostNotices > 0 { lostNotices.increment(by: counts.lostNotices) }
    if refused > 0 { refusedCommands.increment(by: refused) }
    for (reason, amount) in counts.coreDrops { coreDrops[reason]?.increment(by: amount) }
    for (reason, amount) in counts.hostDrops { hostDrops[reason]?.increment(by: amount) }
    counts = LoopCounts()
  }
}
