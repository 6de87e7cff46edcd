import Logging
import MeshCrypto
import MeshNode
import MeshPaths
import MeshWire
import NodeHost
import Synchronization

/// Reads what the node tells: answers its questions to the backbone, wakes who waits, keeps the peer book up,
/// logs.
final class NoticeReader: Sendable {
  let lookups = Waiters<LookupID, LookupOutcome>()
  let pings = Waiters<PingID, PingOutcome>()
  let invitations = Waiters<RedemptionID, InviteAnswer>()

  private let loop: NodeLoop
  private let membership: Membership
  private let session: BackboneSession
  private let endpoints: OwnEndpoints
  private let publisher: RecordPublisher
  private let mtu: DeviceMTU
  private let entryRelay: EntryRelay
  private let wantRelays: @Sendable () -> Void
  private let logger: Logger
  private let handshakes = Mutex<[PeerID: Duration]>([:])

  /// - Parameter wantRelays: called when the node has too few relays to choose from.
  init(
    loop: NodeLoop, membership: Membership, session: BackboneSession, endpoints: OwnEndpoints,
    publisher: RecordPublisher, mtu: DeviceMTU, entryRelay: EntryRelay, logger: Logger,
    wantRelays: @escaping @Sendable () -> Void
  ) {
    self.entryRelay = entryRelay
    self.wantRelays = wantRelays
    self.endpoints = endpoints
    self.publisher = publisher
    self.mtu = mtu
    self.loop = loop
    self.membership = membership
    self.session = session
    self.logger = logger
  }

  /// How long the last handshake with a peer took.
  func handshake(with peerID: PeerID) -> Duration? { handshakes.withLock { $0[peerID] } }

  /// Runs until the loop has ended. Questions to the backbone under way at once: `NodeLimits.lookups`.
  func run() async {
    await withDiscardingTaskGroup { group in
      for await notice in loop.notices {
        switch notice {
        case .event(let event): await take(event)
        case .askBackbone(let id, let target):
          group.addTask { [self] in
            let answer = await session.lookUp(target)
            try? await loop.perform { node, now, _ in node.backboneAnswered(id, answer, now: now) }
          }
        }
      }
      group.cancelAll()
    }
  }

  private func take(_ event: NodeEvent) async {
    switch event {
    case .lookupFinished(let id, let outcome): lookups.resolve(id, outcome)
    case .pingFinished(let id, let outcome): pings.resolve(id, outcome)
    case .inviteAnswered(let id, let answer): invitations.resolve(id, answer)
    case .inviteRedeemed(let index, let publicKey, let endpoint):
      await membership.redeemed(index: index, by: publicKey, at: endpoint, now: session.wallNow)
    case .peerPinned(let peerID, let publicKey):
      await membership.pin(publicKey)
      logger.info("a peer's identity is pinned", metadata: ["peer.id": "\(peerID)"])
    case .peerConnected(let peerID, _, let endpoint, let handshake):
      // Zero: the peer began it, and only who begins knows how long it took.
      let took = handshake > .zero ? handshake : nil
      if let took, await membership.entry(peerID) != nil { handshakes.withLock { $0[peerID] = took } }
      if endpoint.carrier == .udp { await membership.reached(peerID, at: endpoint) }
      var metadata: Logger.Metadata = ["peer.id": "\(peerID)"]
      if let took { metadata["handshake.ms"] = "\(took.milliseconds)" }
      logger.info("session opened", metadata: metadata)
      logger.debug(
        "session's address", metadata: ["peer.id": "\(peerID)", "path.endpoint": "\(endpoint)"])
    case .peerMoved(let peerID, let endpoint):
      if endpoint.carrier == .udp { await membership.reached(peerID, at: endpoint) }
      logger.debug("peer moved", metadata: ["peer.id": "\(peerID)", "path.endpoint": "\(endpoint)"])
    case .pathChanged(let peerID, let path, let why):
      var metadata: Logger.Metadata = [
        "peer.id": "\(peerID)", "path.kind": "\(path.kind.rawValue)", "reason": "\(why)",
      ]
      if path.hops > 0 { metadata["path.hops"] = "\(path.hops)" }
      logger.info("path changed", metadata: metadata)
    case .addressObserved(let endpoint):
      if endpoints.observed(endpoint) { publisher.look() }
      logger.debug("a backbone sees this node", metadata: ["endpoint": "\(endpoint)"])
    case .natDetected(let findings):
      publisher.look()
      logger.info("what stands between this node and the internet", metadata: ["nat": "\(findings.meaning)"])
    case .reservationsChanged(let places):
      await publisher.setReservations(places)
      logger.info("places at relays", metadata: ["relays": "\(places.count)"])
    case .onionKeyMade(let offer, let week):
      await publisher.setOnionKey(offer, week: week)
      logger.info("this relay has an onion key for the week", metadata: ["week": "\(week)"])
    case .relaysWanted:
      wantRelays()
      logger.debug("too few relays to choose from")
    case .entryRelayChanged(let relay):
      entryRelay.keep(relay)
      logger.debug("entry relay", metadata: ["relay.id": "\(relay?.peerID.description ?? "none")"])
    case .circuitOpened(let peerID, let hops, let took):
      logger.info(
        "circuit stands",
        metadata: ["peer.id": "\(peerID)", "path.hops": "\(hops)", "took.ms": "\(took.milliseconds)"])
    case .circuitEnded(let peerID, let reason):
      logger.info("circuit ended", metadata: ["peer.id": "\(peerID)", "reason": "\(reason)"])
    case .peerLost(let peerID, let reason):
      logger.info("session ended", metadata: ["peer.id": "\(peerID)", "reason": "\(reason)"])
    case .handshakeFailed(let peerID, let reason):
      logger.debug("handshake failed", metadata: ["peer.id": "\(peerID)", "reason": "\(reason)"])
    case .recordRefused(let peerID, let source, let reason):
      logger.warning(
        "a record was refused",
        metadata: ["peer.id": "\(peerID)", "source": "\(source.rawValue)", "reason": "\(reason)"])
    case .identityConflict(let peerID, let pinned, let seen):
      logger.critical(
        "another key came under a pinned PeerID and was refused",
        metadata: ["peer.id": "\(peerID)", "key.pinned": "\(pinned)", "key.seen": "\(seen)"])
    case .overlayMTUChanged(let bytes): mtu.follow(bytes)
    case .recordLearned(let record):
      logger.debug(
        "record learned",
        metadata: ["peer.id": "\(record.peerID)", "sequence": "\(record.body.sequence.value)"])
    }
  }
}
