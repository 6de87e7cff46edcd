import ControlAPI
import Logging
import MeshCrypto
import MeshNode
import MeshWire
import NodeHost

/// Does what the command line asks.
struct ControlDesk: Sendable {
  /// How long a ping, a look-up or a join may take before the asker is told that nothing came.
  static let patience: Duration = .seconds(30)
  /// Between two pings of one request.
  static let pingInterval: Duration = .seconds(1)

  let identity: KeyHash
  let configuration: LiveConfiguration
  let listenPort: Int
  let started: ContinuousClock.Instant
  let loop: NodeLoop
  let membership: Membership
  let session: BackboneSession
  let publisher: RecordPublisher
  let mapping: PortMappingService
  let reader: NoticeReader
  let mtu: DeviceMTU
  let logger: Logger

  /// Hands one line after the other to `emit`; `true` with a line that another follows. Throws
  /// ``ControlFailure``.
  typealias Emit = (_ answer: ControlAnswer, _ more: Bool) async throws -> Void

  func answer(_ request: ControlRequest, emit: Emit) async throws {
    switch request {
    case .status: try await emit(.status(status()), false)
    case .peers: try await sendPeers(emit)
    case .invite(let name, let expires, let allow):
      try await emit(.invite(invite(name: name, expires: expires, allow: allow)), false)
    case .join(let line, let name, let allow):
      try await emit(.join(join(line, name: name, allow: allow)), false)
    case .addPeer(let name, let peerID, let allow, let hops):
      try await emit(.peer(add(name, peerID: peerID, allow: allow, hops: hops)), false)
    case .setHops(let name, let hops):
      let entry = try await membership.setHops(hops, of: name)
      logger.notice(
        "relays on the way to a peer chosen",
        metadata: ["peer.id": "\(entry.peerID)", "hops": "\(hops?.description ?? "as for all")"])
      try await emit(.peer(PeerReport(entry, nil, handshake: nil)), false)
    case .removePeer(let name):
      let entry = try await membership.remove(name)
      logger.notice("peer removed", metadata: ["peer.id": "\(entry.peerID)"])
      try await emit(.peer(PeerReport(entry, nil, handshake: nil)), false)
    case .resetPeer(let name): try await emit(.peer(reset(name)), false)
    case .lookUp(let target): try await emit(.lookUp(lookUp(target)), false)
    case .ping(let target, let count, let untilDirect):
      try await ping(target, count: count, untilDirect: untilDirect, emit)
    case .netcheck(let servers): try await netcheck(servers, emit)
    }
  }

  private func status() async throws -> StatusReport {
    let status = try await loop.perform { node, now, _ in node.status(now: now) }
    let configuration = configuration.current
    let byID = Dictionary(status.peers.map { ($0.peerID, $0) }, uniquingKeysWith: { first, _ in first })
    let entries = await membership.entries
    let paths = entries.compactMap { entry in
      byID[entry.peerID]?.path.map { StatusPath(name: entry.name, path: PathReport($0)) }
    }
    return StatusReport(
      version: Release.version, peerID: identity.peerID.description, keyHash: identity.description,
      address: OverlayAddress(of: identity.peerID).description, region: configuration.region.name,
      serviceType: configuration.serviceType.rawValue, tunName: configuration.tunName,
      mtu: mtu.current, listenPort: listenPort,
      uptime: UInt64((ContinuousClock.now - started).components.seconds),
      backbone: await session.report, record: await publisher.report(),
      portMapping: PortMappingReport(mapping.findings),
      peers: entries.count,
      sessions: status.peers.count { $0.state == .connected || $0.state == .unconfirmed },
      paths: Array(paths.sorted { $0.name.text < $1.name.text }.prefix(StatusReport.pathLimit)),
      tableSize: status.tableContacts, cachedRecords: status.cachedRecords)
  }

  /// In pages, so that no line is over the limit however many peers there are.
  private func sendPeers(_ emit: Emit) async throws {
    let status = try await loop.perform { node, now, _ in node.status(now: now) }
    let byID = Dictionary(status.peers.map { ($0.peerID, $0) }, uniquingKeysWith: { first, _ in first })
    let reports = await membership.entries.map {
      PeerReport($0, byID[$0.peerID], handshake: reader.handshake(with: $0.peerID))
    }
    let pages = stride(from: 0, to: max(1, reports.count), by: 16).map {
      Array(reports[$0..<min($0 + 16, reports.count)])
    }
    for (index, page) in pages.enumerated() { try await emit(.peers(page), index + 1 < pages.count) }
  }

  private func add(
    _ name: PeerName, peerID text: String, allow: [PortRule], hops: HopCount?
  ) async throws -> PeerReport {
    guard let peerID = PeerID(hex: text) else {
      throw ControlFailure(
        .badRequest, "\"\(text.prefix(80))\" is not a PeerID",
        next: "a PeerID is 40 hexadecimal digits: `shadowmesh id` on the other node prints it")
    }
    try Self.check(allow)
    let entry = try await membership.add(name, peerID, allow: allow, hops: hops)
    logger.notice("peer added", metadata: ["peer.id": "\(peerID)", "peer.name": "\(name)"])
    // Its first verified record pins its full identity, and so admits it to our own endpoints.
    _ = try await loop.perform { node, now, _ in node.lookUp(peerID, now: now) }
    return PeerReport(entry, nil, handshake: nil)
  }

  private func lookUp(_ target: String) async throws -> LookUpReport {
    let peerID = try await peerID(of: target)
    let id = try await loop.perform { node, now, _ in node.lookUp(peerID, now: now) }
    guard let outcome = await reader.lookups.outcome(of: id, within: Self.patience) else {
      throw ControlFailure(.timedOut, "the look-up did not end within \(Self.patience.components.seconds) s")
    }
    switch outcome {
    case .found(let record, let source, let took):
      return LookUpReport(record, from: source, took: took)
    case .notFound(let backbone, let asked):
      let part = backbone.map { "the backbone could not be asked (\($0))" } ?? "the backbone does not know it"
      throw ControlFailure(
        .notFound,
        "no record of \(target): \(part), and "
          + (asked == 0 ? "no peer could be asked" : "none of \(asked) peers that were asked has it"),
        next: "is that node's daemon running and logged in? `shadowmesh status` there tells")
    case .refused(let refusal):
      throw ControlFailure(.refused, "a record of \(target) came and was refused: \(refusal.plainly)")
    case .tooMany:
      throw ControlFailure(
        .busy, "\(NodeLimits.lookups) look-ups are under way", next: "try again in a moment")
    }
  }

  private func reset(_ name: PeerName) async throws -> PeerReport {
    guard let entry = await membership.entry(name) else {
      throw ControlFailure(
        .notFound, "there is no peer named \(name)", next: "`shadowmesh peers` lists the names")
    }
    _ = try await loop.perform { node, now, _ in node.resetPeer(entry.peerID, now: now) }
    logger.notice("peer reset", metadata: ["peer.id": "\(entry.peerID)"])
    return PeerReport(entry, nil, handshake: nil)
  }

  private func ping(
    _ target: String, count: Int, untilDirect: Bool, _ emit: Emit
  ) async throws {
    guard (1...ControlRequest.maximumPings).contains(count) else {
      throw ControlFailure(.badRequest, "a count is from 1 to \(ControlRequest.maximumPings)")
    }
    let peerID = try await peerID(of: target)
    let name = await membership.entry(peerID)?.name.text ?? target
    for index in 1...count {
      let id = try await loop.perform { node, now, _ in node.ping(peerID, now: now) }
      let outcome = await reader.pings.outcome(of: id, within: Self.patience)
      try Task.checkCancellation()
      var report = try PingReport(outcome, index: index, peerID: peerID, name: name)
      if case .notFound = outcome, await isWithheld(peerID) {
        report.message =
          "\(name)'s record is authentic; its addresses are for its own peers only: has \(name) added you?"
      }
      let isLast = index == count || (untilDirect && report.path.isDirect && report.milliseconds != nil)
      try await emit(.ping(report), !isLast)
      if isLast { return }
      if index < count { try await Task.sleep(for: Self.pingInterval) }
    }
  }

  /// Whether a record is known, and its owner keeps its endpoints from us.
  private func isWithheld(_ peerID: PeerID) async -> Bool {
    guard let id = try? await loop.perform({ node, now, _ in node.lookUp(peerID, now: now) }),
      case .found(let record, _, _) = await reader.lookups.outcome(of: id, within: Self.patience)
    else { return false }
    return record.isWithheld
  }

  /// A petname, or 40 hexadecimal digits.
  func peerID(of target: String) async throws(ControlFailure) -> PeerID {
    if let name = PeerName(target), let entry = await membership.entry(name) { return entry.peerID }
    if let peerID = PeerID(hex: target) { return peerID }
    throw ControlFailure(
      .notFound, "there is no peer named \(target.prefix(80))",
      next: "`shadowmesh peers` lists the names; a PeerID is 40 hexadecimal digits")
  }

  static func check(_ allow: [PortRule]) throws(ControlFailure) {
    guard allow.count <= ControlRequest.maximumPortRules else {
      throw ControlFailure(.badRequest, "at most \(ControlRequest.maximumPortRules) rules for a peer")
    }
  }
}
