import BackboneAPI
import Logging
import MeshCrypto
import MeshWire

/// The relays that this node may choose from: asked of the backbone after each login, every ten minutes, and
/// when there are too few of them. Their records are verified here, off the packet path.
actor RelayDirectory {
  /// How often the list is asked for, on average: a quarter sooner or later each time, so that nodes that
  /// logged in together, because a backbone was started anew, don't ask together for ever.
  static let renewal: Duration = .seconds(600)
  /// And after a failure, or an empty list.
  static let retry: Duration = .seconds(60)
  /// However often more are wanted, or a login is made, the backbone is asked no more often.
  static let shortestInterval: Duration = .seconds(10)
  /// Relays in a list: a chain of three needs distinct operators and prefixes, and some won't answer.
  static let wanted = 16

  private let region: Region
  private let session: BackboneSession
  private let give: @Sendable ([PeerRecord]) async -> Void
  private let logger: Logger
  private let now: @Sendable () -> ContinuousClock.Instant
  private let random: @Sendable () -> Double
  private let alarm = Alarm()
  private var asked: ContinuousClock.Instant?

  /// - Parameters:
  ///   - random: in 0..<1.
  ///   - give: takes the verified records of a list.
  init(
    region: Region, session: BackboneSession, logger: Logger,
    now: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now },
    random: @escaping @Sendable () -> Double = { Double.random(in: 0..<1) },
    give: @escaping @Sendable ([PeerRecord]) async -> Void
  ) {
    self.region = region
    self.session = session
    self.logger = logger
    self.now = now
    self.random = random
    self.give = give
  }

  /// More relays are wanted, or there is a fresh login to ask with.
  nonisolated func look() { alarm.ring() }

  /// Runs until it is cancelled.
  nonisolated func run() async throws {
    while !Task.isCancelled {
      let pause = await turn()
      do { try await alarm.pause(atMost: pause) } catch is CancellationError { return }
    }
  }

  /// Asks, unless that was done just now, and says when to ask again.
  func turn() async -> Duration {
    if let asked, now() - asked < Self.shortestInterval { return Self.shortestInterval - (now() - asked) }
    guard await session.isLoggedIn else { return Self.renewal }
    asked = now()
    do {
      let list = try await session.relays(near: region, limit: Self.wanted)
      let relays = Self.verified(list, at: await session.wallNow)
      logger.debug(
        "relays listed", metadata: ["relays": "\(relays.count)", "refused": "\(list.count - relays.count)"])
      guard !relays.isEmpty else { return Self.retry }
      await give(relays)
      return Self.renewal * (0.75 + random() / 2)
    } catch {
      logger.debug("no list of relays", metadata: ["reason": "\(error)"])
      return Self.retry
    }
  }

  /// Those that their owners have signed, that hold now, and that say how they are used. About 0.3 ms each.
  static func verified(_ list: [UnverifiedPeerRecord], at wall: WallTime) -> [PeerRecord] {
    var seen: Set<KeyHash> = []
    return list.prefix(RelayList.maximumCount).compactMap { try? $0.verified(at: wall) }.filter {
      $0.body.relay != nil && seen.insert($0.keyHash).inserted
    }
  }
}
