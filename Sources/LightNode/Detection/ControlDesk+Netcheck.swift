import BackboneAPI
import ControlAPI
import MeshCrypto
import MeshNode
import MeshPaths
import MeshWire
import NodeHost

/// `netcheck`: the detection runs from the daemon's own socket, because another socket may get another
/// mapping.
extension ControlDesk {
  /// How often it is told what is known so far.
  static let netcheckProgress: Duration = .milliseconds(250)

  /// - Parameter servers: endpoints to ask instead of the backbones' STUN servers; empty: those.
  func netcheck(_ servers: [String], _ emit: Emit) async throws {
    let asked = try Self.stunServers(servers, permitsLoopback: configuration.current.permitLoopback)
    let run = try await beginDetection(asked)
    let began = ContinuousClock.now
    while true {
      let router = mapping.findings
      let progress = try await loop.perform { node, now, _ in
        // The service tells it, too, but not before what is read here.
        node.setRouterAddress(router.routerAddress)
        return node.detectionProgress(now: now)
      }
      let took = ContinuousClock.now - began
      let isDetected = !progress.isRunning || progress.runs != run
      let isFinished = isDetected && Self.endsWait(for: router, after: took)
      let report = await NetcheckReport(
        progress.findings, finished: isFinished, portMapping: PortMappingReport(router),
        regions: regions(), took: took)
      try await emit(.netcheck(report), !isFinished)
      if isFinished { return }
      try await Task.sleep(for: Self.netcheckProgress)
    }
  }

  /// Whether the router is no longer waited for: it has told all, or there is no time left. Its first answers
  /// may take longer than STUN's.
  static func endsWait(for router: PortMappingFindings, after took: Duration) -> Bool {
    router.isComplete || took + netcheckProgress > NATDetection.limit
  }

  /// Begins a run, once the one under way, if any, has ended: it may ask others. Returns its number.
  private func beginDetection(_ servers: [Endpoint]?) async throws -> UInt64 {
    let deadline = ContinuousClock.now + NATDetection.limit + .seconds(1)
    while ContinuousClock.now < deadline {
      let run = try await loop.perform { node, now, _ -> UInt64? in
        // One that asks the same servers will do.
        let canShare = servers == nil
        guard node.detectNAT(asking: servers, now: now) || canShare else { return nil }
        return node.detectionProgress(now: now).runs
      }
      if let run { return run }
      try await Task.sleep(for: Self.netcheckProgress)
    }
    throw ControlFailure(.busy, "other checks are under way", next: "try again in a moment")
  }

  static func stunServers(_ texts: [String], permitsLoopback: Bool) throws(ControlFailure) -> [Endpoint]? {
    guard !texts.isEmpty else { return nil }
    guard texts.count <= NATDetection.serverLimit else {
      throw ControlFailure(.badRequest, "at most \(NATDetection.serverLimit) servers can be asked")
    }
    var servers: [Endpoint] = []
    for text in texts {
      guard let endpoint = Endpoint(text) else {
        throw ControlFailure(.badRequest, "\"\(text.prefix(80))\" is not an address and a port")
      }
      guard endpoint.isDialable || (permitsLoopback && endpoint.address.isLoopback && endpoint.port != 0)
      else {
        throw ControlFailure(.badRequest, "\(endpoint) is no address that this node sends to")
      }
      servers.append(endpoint)
    }
    return servers
  }

  /// Of the backbones' STUN servers.
  private func regions() async -> [Endpoint: String] {
    let servers = await session.nodes.compactMap { node in node.stun.map { ($0, node.region.name) } }
    return Dictionary(servers, uniquingKeysWith: { first, _ in first })
  }
}
