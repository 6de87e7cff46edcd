public import MeshPaths
import MeshWire

/// How far a detection is, for who waits for its end.
public struct DetectionProgress: Sendable, Hashable {
  /// How many have been begun.
  public let runs: UInt64
  public let isRunning: Bool
  /// What is known so far; when none runs, what the last one found.
  public let findings: NATFindings?
}

/// STUN over the node's one socket: its own detection, and the answers that it gives as a public node.
struct NodeSTUN {
  /// Detection runs again this often, and this long after the node's addresses or servers have changed: by
  /// then the machine has its new routes.
  static let interval: Duration = .seconds(600)
  static let settlingTime: Duration = .seconds(1)

  var servers: [Endpoint]
  var detection = NATDetection()
  /// With one address and port: it says where a request came from, and no more.
  var responder = STUNResponder()
  /// When the next run is due; `nil` without servers.
  var nextRun: Instant?
  /// Detections begun so far.
  var runs: UInt64 = 0
  /// Whether the detection that was begun last had public nodes to ask.
  var couldAskNodes = false
  /// The router's own outer address, where port mapping has found it.
  var routerAddress: IPAddress?

  init(servers: [Endpoint], now: Instant) {
    self.servers = servers
    nextRun = servers.isEmpty ? nil : now + Self.settlingTime
  }

  var nextDeadline: Instant? {
    guard let next = detection.nextDeadline else { return nextRun }
    return nextRun.map { min($0, next) } ?? next
  }
}
