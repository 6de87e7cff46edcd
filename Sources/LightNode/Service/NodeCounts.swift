import MeshNode
import MeshRelay
import Metrics
public import Observability
import Synchronization

/// The node's own counts as metrics. The loop counts packets and drops itself, as they happen.
final class NodeCounts: Sendable {
  private let counters: [(counter: Counter, value: any KeyPath<NodeCounters, UInt64> & Sendable)]
  /// How much of each of them the metrics were told.
  private let told: Mutex<[UInt64]>
  private let table = Gauge(label: "shadowmesh.table_contacts")
  private let records = Gauge(label: "shadowmesh.records_cached")
  private let peers = Gauge(label: "shadowmesh.peers")
  private let sessions = PathStatus.Kind.allCases.map {
    (kind: $0, gauge: Gauge(label: "shadowmesh.sessions", dimensions: [("path", $0.rawValue)]))
  }
  /// Sessions through relays, by how many there are and why.
  private let relayed: [(hops: Int, obstacle: PathStatus.Obstacle, gauge: Gauge)]
  private let control = Gauge(label: "shadowmesh.control_sessions")

  init(factory: any MetricsFactory = MetricsSystem.factory) {
    func counter(_ label: String, _ dimension: (String, String)? = nil) -> Counter {
      Counter(label: label, dimensions: dimension.map { [$0] } ?? [], factory: factory)
    }
    relayed = (1...CellLayout.longestChain).flatMap { hops in
      PathStatus.Obstacle.allCases.map { obstacle in
        let dimensions = [("hops", "\(hops)"), ("reason", obstacle.rawValue)]
        let gauge = Gauge(label: "shadowmesh.relayed_sessions", dimensions: dimensions, factory: factory)
        return (hops, obstacle, gauge)
      }
    }
    counters = [
      (counter("shadowmesh.handshakes", ("outcome", "started")), \.handshakesStarted),
      (counter("shadowmesh.handshakes", ("outcome", "completed")), \.handshakesCompleted),
      (counter("shadowmesh.handshakes", ("outcome", "failed")), \.handshakesFailed),
      (counter("shadowmesh.lookups", ("source", "cache")), \.lookupsFromCache),
      (counter("shadowmesh.lookups", ("source", "backbone")), \.lookupsFromBackbone),
      (counter("shadowmesh.lookups", ("source", "peers")), \.lookupsFromPeers),
      (counter("shadowmesh.lookups", ("source", "none")), \.lookupsFailed),
      (counter("shadowmesh.rekeys"), \.rekeys),
      (counter("shadowmesh.peers_moved"), \.peersMoved),
      (counter("shadowmesh.path_changes"), \.pathChanges),
      (counter("shadowmesh.datagrams_repeated"), \.datagramsRepeated),
      (counter("shadowmesh.datagram_repeats_forgone"), \.repeatsForgone),
      (counter("shadowmesh.path_checks_withheld"), \.checksWithheld),
      (counter("shadowmesh.introductions", ("part", "asked")), \.introductionsAsked),
      (counter("shadowmesh.introductions", ("part", "taken")), \.introductionsTaken),
      (counter("shadowmesh.introductions", ("part", "passed")), \.introductionsPassed),
      (counter("shadowmesh.introductions", ("part", "failed")), \.introductionsFailed),
      (counter("shadowmesh.circuits", ("outcome", "built")), \.circuitsBuilt),
      (counter("shadowmesh.circuits", ("outcome", "lost")), \.circuitsLost),
      (counter("shadowmesh.circuits", ("outcome", "unproven")), \.circuitsUnproven),
      (counter("shadowmesh.streams_opened"), \.streamsOpened),
      (counter("shadowmesh.relays_wanted"), \.relaysWanted),
      (counter("shadowmesh.relay_probes", ("outcome", "sent")), \.relayProbesSent),
      (counter("shadowmesh.relay_probes", ("outcome", "answered")), \.relayProbesAnswered),
      (counter("shadowmesh.relay_probes", ("outcome", "held")), \.relayProbesHeld),
      (counter("shadowmesh.entry_relays_suspected"), \.entriesSuspected),
      (counter("shadowmesh.relay_scores_forgotten"), \.relayScoresForgotten),
      (counter("shadowmesh.relayed_circuits"), \.circuitsRelayed),
      (counter("shadowmesh.relayed_cells"), \.cellsRelayed),
      (counter("shadowmesh.relayed_bytes"), \.bytesRelayed),
      (counter("shadowmesh.lookup_hops"), \.lookupHops),
      (counter("shadowmesh.records_pushed"), \.recordsPushed),
      (counter("shadowmesh.records_refused"), \.recordsRefused),
      (counter("shadowmesh.private_parts_dropped"), \.privatePartsDropped),
    ]
    told = Mutex(Array(repeating: 0, count: self.counters.count))
  }

  /// Brings the metrics up to a status.
  func take(_ status: NodeStatus) {
    take(status.counters)
    table.record(status.tableContacts)
    records.record(status.cachedRecords)
    peers.record(status.peers.count)
    for (kind, gauge) in sessions { gauge.record(status.peers.count { $0.path?.kind == kind }) }
    take(status.peers.compactMap(\.path))
    control.record(status.controlSessions)
  }

  /// The paths that are in use.
  func take(_ paths: [PathStatus]) {
    for (hops, obstacle, gauge) in relayed {
      gauge.record(paths.count { $0.kind == .relayed && $0.hops == hops && $0.obstacle == obstacle })
    }
  }
}

extension NodeCounts {
  /// Adds what is new. Of two scrapes at once the older counts may come last: they add nothing.
  func take(_ counters: NodeCounters) {
    told.withLock { told in
      for (index, entry) in self.counters.enumerated() {
        let now = counters[keyPath: entry.value]
        guard now > told[index] else { continue }
        entry.counter.increment(by: now - told[index])
        told[index] = now
      }
    }
  }
}

extension LightNodeDaemon {
  /// Makes the registry of `/metrics` and gives it to the metrics system; once, at the start of the program.
  public static func bootstrapMetrics() -> PrometheusRegistry {
    let registry = PrometheusRegistry()
    MetricsSystem.bootstrap(registry)
    return registry
  }
}
