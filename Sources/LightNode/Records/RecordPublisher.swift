import ControlAPI
import Foundation
import Logging
import MeshCrypto
import MeshNode
import MeshWire
import NodeHost

/// Signs this node's record at the start, when what it says has changed, and at half of its life; gives it to
/// the node and to the backbone.
actor RecordPublisher {
  /// How often the interfaces are looked at.
  static let watch: Duration = .seconds(30)

  private let identity: IdentityKey
  private let configuration: LiveConfiguration
  private let endpoints: OwnEndpoints
  private let folder: StateFolder
  private let membership: Membership
  private let session: BackboneSession
  private let loop: NodeLoop
  private let logger: Logger
  private let clock = ContinuousClock()
  private let alarm = Alarm()

  private var signed: (what: OwnRecord, record: PeerRecord, at: ContinuousClock.Instant)?
  private var lastSequence: UInt64?
  private var mustRenew = false
  private var onionKey: (offer: KeyExchangeOffer, week: UInt32)?
  private var reservations: [RelayReservation] = []

  init(
    identity: IdentityKey, configuration: LiveConfiguration, endpoints: OwnEndpoints, folder: StateFolder,
    membership: Membership, session: BackboneSession, loop: NodeLoop, logger: Logger
  ) {
    self.identity = identity
    self.configuration = configuration
    self.endpoints = endpoints
    self.folder = folder
    self.membership = membership
    self.session = session
    self.loop = loop
    self.logger = logger
  }

  /// Something that the record says may have changed.
  nonisolated func look() { alarm.ring() }

  /// The times in the record have changed: sign even if nothing else has.
  func renew() {
    mustRenew = true
    alarm.ring()
  }

  /// The key that circuits through this relay are agreed on with.
  func setOnionKey(_ offer: KeyExchangeOffer, week: UInt32) {
    onionKey = (offer, week)
    alarm.ring()
  }

  /// The relays at which this node is reached, in place of those before.
  func setReservations(_ reservations: [RelayReservation]) {
    self.reservations = reservations
    alarm.ring()
  }

  func report() async -> OwnRecordReport? {
    guard let record = signed?.record else { return nil }
    return OwnRecordReport(
      sequence: record.body.sequence.value, expires: record.body.expiry.secondsSinceEpoch,
      published: await session.hasPublished(record.body.sequence),
      endpoints: record.endpoints.map(\.description))
  }

  /// Runs until it is cancelled.
  nonisolated func run() async throws {
    while !Task.isCancelled {
      await turn()
      do { try await alarm.pause(atMost: Self.watch) } catch is CancellationError { return }
    }
  }

  private func turn() async {
    let what = await describingNAT(wanted())
    if let signed, !mustRenew, signed.what == what, clock.now - signed.at < OwnRecord.renewal { return }
    do {
      let record = try await sign(what)
      try await loop.perform { node, now, _ in node.setOwnRecord(record, now: now) }
      await session.offer(record)
      // Last: a node that was too busy is offered another one at the next turn.
      mustRenew = false
      signed = (what, record, clock.now)
    } catch NodeLoopError.stopped {
      // The end of the daemon, or of its start: whatever ended it is told elsewhere.
    } catch {
      logger.error("this node's record could not be made", metadata: ["reason": "\(error)"])
    }
  }

  /// The same, with what the last detection found.
  private func describingNAT(_ what: OwnRecord) async -> OwnRecord {
    guard let nat = try? await loop.perform({ node, now, _ in node.status(now: now).nat }) else {
      return what
    }
    var described = what
    (described.mapping, described.filtering) = nat.announced
    return described
  }

  private func wanted() async -> OwnRecord {
    let configuration = configuration.current
    endpoints.refresh()
    return OwnRecord(
      region: configuration.region, serviceType: configuration.meshServiceType,
      relayOffer: UInt32(clamping: configuration.relayOfferMbps),
      endpoints: endpoints.announced,
      admitted: await membership.admitted, relay: announcement(configuration), reservations: reservations)
  }

  private func announcement(_ configuration: LightNodeConfiguration) -> RelayAnnouncement? {
    guard let onionKey, configuration.relayOfferMbps > 0, configuration.serviceType == .public else {
      return nil
    }
    var announcement = RelayAnnouncement(
      onionKey: onionKey.offer, week: onionKey.week, operatorName: configuration.relayOperator)
    if configuration.relayStreamPort > 0,
      let kept = try? StreamCertificate.kept(in: configuration.stateDirectory, now: Date())
    {
      announcement.streamPort = UInt16(clamping: configuration.relayStreamPort)
      announcement.streamCertificate = kept.hash
    }
    return announcement
  }

  /// The number is on the disk before anybody sees a record that has it.
  private func sign(_ what: OwnRecord) async throws -> PeerRecord {
    let last = lastSequence ?? readSequence()
    let now = await session.wallNow
    let sequence = OwnRecord.nextSequence(after: last, now: now)
    try folder.writeSequence(sequence.value)
    lastSequence = sequence.value
    var random = SystemRandomNumberGenerator()
    let salt = (0..<16).map { _ in UInt8.random(in: .min ... .max, using: &random) }
    return try what.signed(with: identity, sequence: sequence, now: now, salt: salt)
  }

  private func readSequence() -> UInt64 {
    do { return try folder.readSequence() } catch {
      logger.error("the last sequence number is lost", metadata: ["reason": "\(error)"])
      return 0
    }
  }
}
