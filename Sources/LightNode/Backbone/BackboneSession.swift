import BackboneAPI
import ControlAPI
import Foundation
import Logging
import MeshCrypto
import MeshNode
import MeshWire

/// What this node needs of a backbone; ``BackboneClient`` is the one, tests have others.
protocol BackboneConnection: Sendable {
  func logIn(as key: IdentityKey, now: WallTime) async throws -> LoginSession
  func publish(_ record: PeerRecord, token: String) async throws
  func lookUp(_ peer: PeerID, token: String) async throws -> UnverifiedPeerRecord?
  func relays(near region: Region, limit: Int, token: String) async throws -> [UnverifiedPeerRecord]
  func shutdown() async throws
}

extension BackboneClient: BackboneConnection {}

/// Stays logged in to the backbone: refreshes the token before it ends, logs in again when it is refused,
/// waits longer and longer while the backbone is away. Hands our record to it, and asks it for others'.
actor BackboneSession {
  /// A token is renewed when a fifth of its life is left, and at least a minute before its end.
  static let renewalShare = 5
  /// However short a life the backbone gives its tokens, this node logs in no more often.
  static let shortestRenewal: Duration = .seconds(30)

  /// Why a login was given up on this side.
  enum Refusal: Error, CustomStringConvertible {
    /// The login under way, which this one waited for, failed.
    case otherLoginFailed

    var description: String {
      switch self {
      case .otherLoginFailed: "the login failed"
      }
    }
  }

  private let connection: (any BackboneConnection)?
  private let identity: IdentityKey
  private let logger: Logger
  private let wall: @Sendable () -> WallTime
  private let now: @Sendable () -> ContinuousClock.Instant
  private let alarm = Alarm()

  private var login: LoginSession?
  private var renewAt: ContinuousClock.Instant
  private var retryAt: ContinuousClock.Instant
  private var retry = RetryPause()
  private var isLoggingIn = false
  /// Who waits for the login under way: look-ups, at most as many as the node has.
  private var waitingForLogin: [CheckedContinuation<Void, Never>] = []
  /// The backbone has taken the present token at least once.
  private var hasTokenWorked = false
  private var loggedInReport: BackboneReport?
  private var record: PeerRecord?
  private var publishedSequence: SequenceNumber?
  private(set) var report: BackboneReport
  /// The backbones' nodes, as the last login's signed list has them.
  private(set) var nodes: [BackboneNode] = []
  /// How far the backbone's clock is ahead of ours; zero before the first login.
  private(set) var clockOffset: Duration = .zero
  /// Called after each login; `hasMoved` when the clocks are further apart, or closer, than before.
  private var onClockOffset: (@Sendable (_ offset: Duration, _ hasMoved: Bool) async -> Void)?
  /// Called after each login, with the nodes that the backbone has signed.
  private var onNodes: (@Sendable ([BackboneNode]) async -> Void)?

  init(
    url: String?, connection: (any BackboneConnection)?, identity: IdentityKey, logger: Logger,
    wall: @escaping @Sendable () -> WallTime,
    now: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now }
  ) {
    self.connection = connection
    self.identity = identity
    self.logger = logger
    self.wall = wall
    self.now = now
    renewAt = now()
    retryAt = now()
    report = BackboneReport(url: url ?? "", state: url == nil ? .none : .connecting)
  }

  func notifyClockOffset(_ body: @escaping @Sendable (Duration, Bool) async -> Void) { onClockOffset = body }
  func notifyNodes(_ body: @escaping @Sendable ([BackboneNode]) async -> Void) { onNodes = body }

  /// This machine's time, corrected by what the backbone's clock shows.
  var wallNow: WallTime { wall() + clockOffset }

  var isLoggedIn: Bool { login != nil }

  /// Whether the backbone has this very record.
  func hasPublished(_ sequence: SequenceNumber) -> Bool { publishedSequence == sequence }

  /// Gives a new record to publish, now or as soon as the backbone is there.
  func offer(_ record: PeerRecord) {
    self.record = record
    alarm.ring()
  }

  /// Runs until it is cancelled.
  nonisolated func run() async throws {
    while !Task.isCancelled {
      let pause = await turn()
      do { try await alarm.pause(atMost: pause) } catch is CancellationError { return }
    }
  }

  /// Closes the connections; the token is simply dropped.
  func close() async {
    login = nil
    try? await connection?.shutdown()
  }

  /// Does what is due and says how long there is nothing to do.
  func turn() async -> Duration {
    guard connection != nil else { return .seconds(3_600) }
    if now() < retryAt { return retryAt - now() }
    do {
      if login == nil || now() >= renewAt { try await logIn() }
      try await publishIfNeeded()
    } catch BackboneClientError.tokenRefused where hasTokenWorked {
      // Revoked, or the backbone has a new key: once more, at once.
      login = nil
      hasTokenWorked = false
      return .zero
    } catch Refusal.otherLoginFailed {
      return max(.zero, retryAt - now())
    } catch {
      if case BackboneClientError.tokenRefused = error { login = nil }
      if !Task.isCancelled { away(error) }
      return max(.zero, retryAt - now())
    }
    retry.reset()
    if report.state != .loggedIn, let loggedInReport { report = loggedInReport }
    return max(.milliseconds(100), renewAt - now())
  }

  /// The backbone's word on a peer, for the node's look-up.
  func lookUp(_ peer: PeerID) async -> BackboneAnswer {
    do throws(Unavailable) {
      let answer = try await ask { try await $0.lookUp(peer, token: $1) }
      return answer.map { .found($0) } ?? .notFound
    } catch {
      return .unavailable(error.reason)
    }
  }

  /// Records of relays, not verified yet, those of `region` first.
  func relays(near region: Region, limit: Int) async throws(Unavailable) -> [UnverifiedPeerRecord] {
    try await ask { try await $0.relays(near: region, limit: limit, token: $1) }
  }

  /// Why the backbone could not be asked, or did not answer.
  struct Unavailable: Error, CustomStringConvertible {
    let reason: String
    var description: String { reason }
  }

  /// Asks with the present token; logs in once more when it is refused.
  private func ask<Answer: Sendable>(
    _ question: @Sendable (any BackboneConnection, _ token: String) async throws -> Answer
  ) async throws(Unavailable) -> Answer {
    guard let connection else { throw Unavailable(reason: "no backbone is configured") }
    for attempt in 0..<2 {
      guard let login else {
        throw Unavailable(reason: report.reason.isEmpty ? "not logged in yet" : report.reason)
      }
      do {
        let answer = try await question(connection, login.token)
        hasTokenWorked = true
        return answer
      } catch BackboneClientError.tokenRefused where attempt == 0 {
        // Others may have a fresh token by now, or be about to.
        if self.login?.token == login.token { self.login = nil }
        guard self.login == nil else { continue }
        do { try await logIn() } catch Refusal.otherLoginFailed {
          throw Unavailable(reason: report.reason)
        } catch {
          away(error)
          throw Unavailable(reason: Self.printable(error))
        }
        alarm.ring()
      } catch {
        throw Unavailable(reason: Self.printable(error))
      }
    }
    throw Unavailable(reason: "the backbone refuses fresh tokens")
  }

  private func logIn() async throws {
    guard let connection else { return }
    guard !isLoggingIn else {
      await withCheckedContinuation { waitingForLogin.append($0) }
      guard login != nil else { throw Refusal.otherLoginFailed }
      return
    }
    isLoggingIn = true
    defer {
      isLoggingIn = false
      for waiter in waitingForLogin { waiter.resume() }
      waitingForLogin = []
    }
    let began = now()
    let session = try await connection.logIn(as: identity, now: wall())
    let took = now() - began
    login = session
    hasTokenWorked = false
    publishedSequence = nil
    retryAt = now()
    let life = max(.seconds(1), session.expires - wall())
    let renewal = max(min(life - life / Self.renewalShare, life - .seconds(60)), life / 2)
    renewAt = now() + max(renewal, Self.shortestRenewal)
    report = BackboneReport(
      url: report.url, state: .loggedIn, tokenExpires: session.expires.secondsSinceEpoch,
      loginMilliseconds: took.milliseconds)
    loggedInReport = report
    logger.info("logged in to the backbone", metadata: ["took.ms": "\(took.milliseconds)"])
    let moved = session.clockOffset - clockOffset
    clockOffset = session.clockOffset
    if moved.magnitude >= .seconds(60) {
      logger.warning(
        "the backbone's clock differs from this machine's: records go by the backbone's",
        metadata: ["offset.seconds": "\(session.clockOffset.components.seconds)"])
    }
    await onClockOffset?(clockOffset, moved.magnitude >= .seconds(60))
    nodes = session.nodes
    await onNodes?(session.nodes)
  }

  private func publishIfNeeded() async throws {
    guard let connection, let login, let record, publishedSequence != record.body.sequence else { return }
    do {
      try await connection.publish(record, token: login.token)
      hasTokenWorked = true
    } catch BackboneClientError.refused(let problem) {
      // Asking again with the same record would get the same answer: the next record is the next try.
      publishedSequence = nil
      self.record = nil
      logger.error(
        "the backbone refused this node's record",
        metadata: ["reason": "\(Self.printable(problem.detail ?? problem.title))"])
      return
    }
    publishedSequence = record.body.sequence
    logger.info("published this node's record", metadata: ["sequence": "\(record.body.sequence.value)"])
  }

  private func away(_ error: any Error) {
    var asked = Duration.zero
    if case BackboneClientError.busy(let seconds) = error { asked = .seconds(seconds) }
    let pause = retry.next(random: Double.random(in: 0..<1), atLeast: asked)
    retryAt = now() + pause
    let reason = Self.printable(error)
    if report.state != .away || report.reason != reason {
      logger.warning(
        "the backbone is away; cached peers are served", metadata: ["reason": "\(reason)"])
    }
    report = BackboneReport(url: report.url, state: .away, reason: reason)
  }

  /// One line that a terminal or a log can be given: part of it came from the other side.
  static func printable(_ value: Any) -> String {
    let scalars = "\(value)".unicodeScalars.map { scalar in
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned:
        " " as Unicode.Scalar
      default: scalar
      }
    }
    return String(String.UnicodeScalarView(scalars.prefix(300)))
  }
}

extension Duration {
  /// Without its sign.
  fileprivate var magnitude: Duration { self < .zero ? .zero - self : self }
}
