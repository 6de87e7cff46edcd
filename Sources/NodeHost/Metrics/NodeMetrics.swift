import Metrics

/// The metric objects of a loop, made once.
struct NodeMetrics {
  private let datagramsIn: Counter
  private let datagramsOut: Counter
  private let datagramBytesIn: Counter
  private let datagramBytesOut: Counter
  private let packetsIn: Counter
  private let packetsOut: Counter
  private let packetBytesIn: Counter
  private let packetBytesOut: Counter
  private let batchIn: Recorder
  private let batchOut: Recorder
  private let refusedJobs: Counter
  private let lostNotices: Counter
  private let refusedCommands: Counter
  private let drops: [HostDrop: Counter]

  init(factory: any MetricsFactory) {
    func counter(_ label: String, _ dimensions: [(String, String)] = []) -> Counter {
      Counter(label: "shadowmesh.\(label)", dimensions: dimensions, factory: factory)
    }
    func batch(_ direction: (String, String)) -> Recorder {
      Recorder(
        label: "shadowmesh.batch_datagrams", dimensions: [direction], aggregate: true, factory: factory)
    }
    let inward = ("direction", "in")
    let outward = ("direction", "out")
    datagramsIn = counter("datagrams", [inward])
    datagramsOut = counter("datagrams", [outward])
    datagramBytesIn = counter("datagram_bytes", [inward])
    datagramBytesOut = counter("datagram_bytes", [outward])
    packetsIn = counter("packets", [inward])
    packetsOut = counter("packets", [outward])
    packetBytesIn = counter("packet_bytes", [inward])
    packetBytesOut = counter("packet_bytes", [outward])
    batchIn = batch(inward)
    batchOut = batch(outward)
    refusedJobs = counter("crypto_jobs_refused")
    lostNotices = counter("notices_lost")
    refusedCommands = counter("commands_refused")
    drops = Dictionary(
      uniqueKeysWithValues: HostDrop.allCases.map { ($0, counter("drops", [("reason", $0.rawValue)])) })
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
    for (reason, amount) in counts.hostDrops { drops[reason]?.increment(by: amount) }
    counts = LoopCounts()
  }
}
