import BackboneAPI
import Foundation
import Logging
import MeshCrypto
import MeshWire
import Metrics
import Synchronization

/// What a backbone does, whatever carries the requests: gathers facts, asks the rules, acts on the store.
///
/// Methods throw ``Refusal``, ``StoreFailure`` or `CancellationError`.
final class Registry: Sendable {
  /// A signed node list holds this long, and is signed anew every hour.
  static let nodeListLife = Duration.seconds(86_400)
  static let nodeListRenewal = Duration.seconds(3_600)
  /// A record that keeps changing under our hands is given up on after so many tries.
  static let publicationTries = 4

  let settings: BackboneSettings
  let metrics: BackboneMetrics
  let clock: BackboneClock
  private let identity: IdentityKey
  private let rule: LoginRule
  private let store: any Store
  private let tokens: SessionTokens
  private let challengeKey: [UInt8]
  private let work: WorkThreads
  private let state: Mutex<State>

  private struct State {
    var loginRates: RateLimiter<IPAddress>
    /// Apart from logins: a neighbour who sends bad tokens must not keep others from logging in.
    var strayRates: RateLimiter<IPAddress>
    var peerRates: RateLimiter<KeyHash>
    var publicationRates: RateLimiter<KeyHash>
    var relayListRates: RateLimiter<KeyHash>
    var revocations = Revocations()
    var nodeList: [UInt8]
    var nodeListSigned: WallTime
    /// Set by a write that fails, until upkeep, which writes too, succeeds.
    var storeFailure: StoreFailure?
    /// What was logged since the last upkeep.
    var loggedFailures: Set<StoreFailure> = []
  }

  init(
    settings: BackboneSettings, identity: IdentityKey, keys: RegionKeys, store: any Store,
    metrics: BackboneMetrics, clock: BackboneClock, work: WorkThreads = WorkThreads()
  ) async throws {
    self.settings = settings
    self.identity = identity
    self.store = store
    self.metrics = metrics
    self.clock = clock
    self.work = work
    challengeKey = keys.challengeKey
    rule = LoginRule(
      region: settings.region, backbone: identity.keyHash, origins: settings.origins,
      admission: settings.admission, challengeKey: keys.challengeKey)
    tokens = await SessionTokens(
      region: settings.region, issuer: identity.keyHash,
      trustedIssuers: Set(settings.nodes.filter { $0.region == settings.region }.map(\.keyHash)), keys: keys)
    let limits = settings.limits
    let now = clock.wall()
    state = Mutex(
      State(
        loginRates: RateLimiter(
          perSecond: Double(limits.loginsPerMinute) / 60, burst: Double(limits.loginsPerMinute),
          capacity: limits.tableSize),
        strayRates: RateLimiter(
          perSecond: Double(limits.strayRequestsPerSecond), burst: Double(limits.strayRequestsPerSecond * 5),
          capacity: limits.tableSize),
        peerRates: RateLimiter(
          perSecond: Double(limits.requestsPerSecond), burst: Double(limits.requestsPerSecond * 5),
          capacity: limits.tableSize),
        publicationRates: RateLimiter(
          perSecond: Double(limits.publicationsPerSecond), burst: Double(limits.publicationsPerSecond * 5),
          capacity: limits.tableSize),
        relayListRates: RateLimiter(
          perSecond: Double(limits.relayListsPerMinute) / 60, burst: Double(limits.relayListsPerMinute),
          capacity: limits.tableSize),
        nodeList: try Self.signedNodeList(settings.nodes, by: identity, now: now), nodeListSigned: now))
    try await refreshRevocations()
  }

  /// A fresh challenge; nothing is remembered.
  func challenge() -> ChallengeAnswer {
    let challenge = LoginChallenge(
      issuedAt: clock.wall(), random: secureRandomBytes(16), key: challengeKey)
    return ChallengeAnswer(
      challenge: challenge.bytes, timestamp: challenge.issued, expiresAt: challenge.expiry)
  }

  /// Checks a login and answers with a ``VerifyAnswer`` as JSON.
  func logIn(_ request: VerifyRequest) async throws -> [UInt8] {
    let now = clock.wall()
    do {
      let pending = try rule.examine(request, now: now)
      return try await work.run(for: .login) {
        try await self.notingFailure { try await self.logIn(pending, now: now) }
      }
    } catch let refusal as LoginRefusal {
      metrics.loginRefusals[refusal]?.increment()
      throw Refusal(refusal.problem)
    }
  }

  private func logIn(_ pending: LoginRule.Pending, now: WallTime) async throws -> [UInt8] {
    let holds = pending.statement.isSigned(pending.signature, by: pending.publicKey)
    let node = pending.statement.node
    let wasAdmitted = holds && settings.admission == .invite ? try await store.wasAdmitted(node) : false
    let grant = try rule.decide(pending, LoginRule.Facts(signatureHolds: holds, wasAdmitted: wasAdmitted))
    var invite: InviteUse?
    if case .redeemChallengeAndInvite(let secret) = grant {
      invite = InviteUse(secretHash: Invite.hash(of: secret), node: node)
    }
    let challenge = pending.challenge
    switch try await store.redeem(
      challenge: challenge.random, expiry: challenge.expiry, invite: invite, now: now)
    {
    case .redeemed: break
    case .challengeUsed: throw LoginRefusal.challengeUsed
    case .inviteRefused: throw LoginRefusal.badInvite
    }
    let expiry = now + settings.tokenLife
    let token = tokens.issue(for: node, id: secureRandomBytes(16).hex, now: now, expiry: expiry)
    metrics.logins.increment()
    return Self.answer(token: token, expiry: expiry, nodeList: state.withLock { $0.nodeList })
  }

  /// Written by hand, because the node list in it is most of its size and the same for all.
  private static func answer(token: String, expiry: WallTime, nodeList: [UInt8]) -> [UInt8] {
    let head = #"{"session_token":"\#(token)","expires_at":\#(expiry.secondsSinceEpoch),"#
    return Array(head.utf8) + nodeList.dropFirst()
  }

  /// The session behind an `Authorization` field.
  nonisolated(nonsending) func session(authorization: String?) async throws -> Session {
    do throws(TokenRefusal) {
      guard let token = authorization.flatMap(Self.bearerToken) else { throw .malformed }
      let now = clock.wall()
      // Most requests bring a token that is remembered.
      let session =
        if let known = try tokens.remembered(token, now: now) { known } else {
          try await tokens.verify(token, now: now)
        }
      guard !state.withLock({ $0.revocations.revoke(session) }) else { throw .revoked }
      if case .list(let listed) = settings.admission, !listed.contains(session.peer) { throw .notAdmitted }
      return session
    } catch {
      metrics.tokenRefusals[error]?.increment()
      throw Refusal(.tokenRefused)
    }
  }

  /// What follows the scheme, which is of either case (RFC 9110 §11.1).
  private static func bearerToken(_ authorization: String) -> String? {
    let scheme = "bearer "
    let text = authorization.utf8
    let isScheme = text.prefix(scheme.utf8.count).elementsEqual(scheme.utf8) { given, wanted in
      given == wanted || ((65...90).contains(given) && given | 0x20 == wanted)
    }
    return isScheme ? String(Substring(text.dropFirst(scheme.utf8.count))) : nil
  }

  /// Stores a record that came from `address`, or finds it stored.
  func publish(_ bundle: [UInt8], by publisher: KeyHash, from address: IPAddress?) async throws {
    let unverified: UnverifiedPeerRecord
    do { unverified = try UnverifiedPeerRecord(bundle: bundle) } catch { throw refused(error) }
    guard try await mayBeStored(unverified, by: publisher) else { return }
    let now = clock.monotonic()
    try admit(state.withLock { $0.publicationRates.secondsToWait(publisher, now: now) })
    // Where not everybody may log in, that bounds the records, and all nodes may be in one place.
    let network = settings.admission == .open ? address?.recordNetwork : nil
    try await work.run(for: .publication) {
      try await self.notingFailure { try await self.publish(unverified, by: publisher, from: network) }
    }
  }

  /// Whether a record is worth the check of its signature; counts or refuses it otherwise.
  private func mayBeStored(_ record: UnverifiedPeerRecord, by publisher: KeyHash) async throws -> Bool {
    let now = clock.wall()
    // Its times come first: one that has expired is refused even when it is the one that stands.
    guard record.claimedKeyHash != publisher || record.plausibleTime(near: now) == now else { return true }
    let known = try await store.record(of: record.claimedKeyHash.peerID)
    return try isToBeStored(RecordSummary(record), by: publisher, known: known)
  }

  private func isToBeStored(
    _ record: RecordSummary, by publisher: KeyHash, known: StoredRecord?
  ) throws -> Bool {
    switch PublicationRule.decide(record, publisher: publisher, known: known?.summary) {
    case .refuse(let kind): throw refused(kind)
    case .unchanged:
      metrics.recordsUnchanged.increment()
      return false
    case .store: return true
    }
  }

  /// Does what writes to the store, and remembers for ``checkReadiness()`` that it couldn't.
  private func notingFailure<Value>(_ body: () async throws -> Value) async throws -> Value {
    do { return try await body() } catch let failure as StoreFailure {
      state.withLock { $0.storeFailure = failure }
      throw failure
    }
  }

  private func publish(
    _ unverified: UnverifiedPeerRecord, by publisher: KeyHash, from network: IPAddress?
  ) async throws {
    let record: PeerRecord
    do { record = try unverified.verified(at: clock.wall()) } catch { throw refused(error) }
    let fresh = StoredRecord(record)
    for _ in 0..<Self.publicationTries {
      let known = try await store.record(of: record.peerID)
      guard try isToBeStored(fresh.summary, by: publisher, known: known) else { return }
      switch try await store.put(fresh, replacing: known, from: network) {
      case .stored:
        metrics.recordsStored.increment()
        return
      case .changed: continue
      case .networkFull:
        metrics.recordRefusals.increment()
        throw Refusal(
          .rateLimited, detail: "this network has as many records as one may have", retryAfter: 600)
      }
    }
    throw Refusal(.overloaded, retryAfter: 1)
  }

  private func refused(_ refusal: RecordRefusal) -> Refusal {
    metrics.recordRefusals.increment()
    return Refusal(.recordRefused, detail: "\(refusal)")
  }

  private func refused(_ kind: Problem.Kind) -> Refusal {
    metrics.recordRefusals.increment()
    return Refusal(kind)
  }

  /// A peer's record as a ``RecordMessage`` in JSON, as much of it as `asker` may see.
  nonisolated(nonsending) func lookUp(_ peer: PeerID, for asker: KeyHash) async throws -> [UInt8] {
    guard let record = try await store.record(of: peer), !record.isTombstone, clock.wall() < record.expiry,
      !record.publicBundle.isEmpty
    else {
      metrics.lookUpsMissed.increment()
      throw Refusal(.peerNotFound)
    }
    metrics.lookUpsFound.increment()
    return RecordMessage(record: record.bundle(for: asker)).json
  }

  /// A ``RelayList`` in JSON: at most `limit` relays other than the asker, of `region` first.
  func relays(near region: Region?, limit: Int, for asker: KeyHash) async throws -> [UInt8] {
    let now = clock.monotonic()
    try admit(state.withLock { $0.relayListRates.secondsToWait(asker, now: now) })
    // One more, for the asker may be among them.
    let sample = try await store.relays(near: region, limit: limit + 1, now: clock.wall())
      .filter { $0.keyHash != asker && !$0.publicBundle.isEmpty }.prefix(limit)
    metrics.relaysListed.increment(by: sample.count)
    return RelayList(relays: sample.map(\.publicBundle)).json
  }

  /// Counts a challenge or a login against its address's prefix.
  func admitLogin(from address: IPAddress?) throws {
    let now = clock.monotonic()
    try admit(state.withLock { $0.loginRates.secondsToWait(Self.prefix(of: address), now: now) })
  }

  /// Counts any other request without a good token against its address's prefix.
  func admitStray(from address: IPAddress?) throws {
    let now = clock.monotonic()
    try admit(state.withLock { $0.strayRates.secondsToWait(Self.prefix(of: address), now: now) })
  }

  private static func prefix(of address: IPAddress?) -> IPAddress { address?.limitPrefix ?? .v4(0) }

  /// Counts a request with a token against its peer.
  func admit(_ peer: KeyHash) throws {
    let now = clock.monotonic()
    try admit(state.withLock { $0.peerRates.secondsToWait(peer, now: now) })
  }

  private func admit(_ secondsToWait: Int?) throws {
    guard let secondsToWait else { return }
    metrics.rateLimited.increment()
    throw Refusal(.rateLimited, retryAfter: min(secondsToWait, 60))
  }

  /// Throws unless requests can be served.
  func checkReadiness() async throws {
    if let failure = state.withLock({ $0.storeFailure }) { throw failure }
    try await store.check()
  }

  /// Whether a failure is to be logged: once between two upkeeps, however many requests meet it.
  func isNews(_ failure: StoreFailure) -> Bool {
    state.withLock { $0.loggedFailures.count < 16 && $0.loggedFailures.insert(failure).inserted }
  }

  /// What has to be done every few seconds.
  func maintain() async throws {
    let now = clock.wall()
    try await notingFailure { try await store.prune(now: now) }
    state.withLock {
      $0.storeFailure = nil
      $0.loggedFailures = []
    }
    try await refreshRevocations()
    for (table, rows) in try await store.sizes() { metrics.record(rows: rows, of: table) }
    metrics.workWaiting.record(work.waitingCount)
    let signed = state.withLock { $0.nodeListSigned }
    if now - signed >= Self.nodeListRenewal || now < signed {
      let list = try Self.signedNodeList(settings.nodes, by: identity, now: now)
      state.withLock {
        $0.nodeList = list
        $0.nodeListSigned = now
      }
    }
  }

  /// Reads revocations that another process may have added.
  func refreshRevocations() async throws {
    let revocations = try await store.revocations()
    state.withLock { $0.revocations = revocations }
  }

  /// Ends the threads. Checks in flight finish first.
  func shutdown() async throws { try await work.shutdown() }

  private static func signedNodeList(
    _ nodes: [BackboneNode], by identity: IdentityKey, now: WallTime
  ) throws -> [UInt8] {
    let list = BackboneNodeList(
      issuer: identity.keyHash, issued: now, expiry: now + nodeListLife, nodes: nodes)
    let signed = SignedNodes(
      list, signature: try list.signed(by: identity), publicKey: identity.publicKey.bytes)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return [UInt8](try encoder.encode(signed))
  }
}
