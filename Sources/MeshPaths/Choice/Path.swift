public import MeshWire

/// One way to a peer and what is known of it.
public struct Path: Sendable {
  public let endpoint: Endpoint
  public internal(set) var kind: PathKind
  /// Smoothed as in RFC 6298 §2; `nil` before the first answer.
  public internal(set) var roundTrip: Duration?
  /// When a datagram of full size has last passed both ways.
  public internal(set) var provenAt: Instant?

  /// Checks that are out: the newest four.
  private var outstanding: [(id: UInt64, sentAt: Instant)] = []
  /// Checks since the last answer.
  private(set) var tries = 0
  var nextCheck: Instant?
  /// Known only because a check of the peer's seemed to come from there, as anybody may have sent it on:
  /// what goes there is one check for each that comes, until one is answered.
  var isOnlyClaimed = false
  /// Who says that the peer may be there.
  private(set) var namers: Namers
  /// Who wants it checked since the last burst began: backbones, or `nil` for the peer itself, its record,
  /// its owner. Of them, one with something left pays for each check.
  private(set) var askers: [PeerID?]
  /// When the last burst of checks began.
  private(set) var begun: Instant?
  /// It failed while in use: not before this.
  private(set) var notBefore: Instant?
  private var failures = 0

  static let outstandingLimit = 4

  init(endpoint: Endpoint, kind: PathKind, by backbone: PeerID? = nil) {
    self.endpoint = endpoint
    self.kind = kind
    askers = [backbone]
    namers = Namers(backbone)
  }

  public var isProven: Bool { provenAt != nil }

  /// Who may have to give up its place; `nil` once the peer has been heard there.
  var crowders: Namers? { isProven || !namers.isOnlyBackbones ? nil : namers }

  /// Somebody wants it checked, too; returns whether they didn't before.
  mutating func asked(by backbone: PeerID?) -> Bool {
    namers.add(backbone)
    guard !askers.contains(backbone), askers.count <= PathLimits.backbones else { return false }
    askers.append(backbone)
    return true
  }

  mutating func askedAnew(by backbone: PeerID?) {
    namers.add(backbone)
    askers = [backbone]
  }

  /// Begins a burst of checks.
  mutating func begin(now: Instant) {
    guard !isOnlyClaimed || isProven else { return }
    tries = 0
    nextCheck = now
    begun = now
  }

  /// One check, which the one that came pays for.
  mutating func beginOnce(now: Instant) {
    tries = 0
    nextCheck = now
  }

  mutating func sent(_ id: UInt64, now: Instant, isInDoubt: Bool) {
    if outstanding.count == Self.outstandingLimit { outstanding.removeFirst() }
    outstanding.append((id, now))
    tries += 1
    if isOnlyClaimed, !isProven {
      nextCheck = nil
    } else if isInDoubt {
      nextCheck = tries < PathLimits.triesInDoubt ? now + PathLimits.doubtInterval : now + PathLimits.standby
    } else if tries < PathLimits.tries {
      nextCheck = now + PathLimits.firstInterval * (1 << (tries - 1))
    } else if isProven {
      // It answered once and does no more.
      provenAt = nil
      nextCheck = nil
    } else {
      nextCheck = nil
    }
  }

  /// Whether this answers a check that is out.
  mutating func answered(_ id: UInt64, now: Instant) -> Bool {
    guard let position = outstanding.firstIndex(where: { $0.id == id }) else { return false }
    let sample = now - outstanding[position].sentAt
    outstanding.removeAll()
    tries = 0
    askers = [nil]
    namers.add(nil)
    roundTrip = roundTrip.map { ($0 * 7 + sample) / 8 } ?? sample
    provenAt = now
    // Held down, it is asked again when that ends, so that it is used then.
    nextCheck = isHeldDown(now) ? notBefore : now + PathLimits.standby
    return true
  }

  mutating func failed(now: Instant) {
    provenAt = nil
    let wait = min(PathLimits.firstHoldDown * (1 << min(failures, 4)), PathLimits.longestHoldDown)
    failures = min(failures + 1, 16)
    notBefore = now + wait
    tries = 0
    nextCheck = now + wait
  }

  /// Whether another burst of checks may begin, because somebody names it or packets come from there.
  func mayBeginAnew(_ now: Instant) -> Bool { begun.map { now - $0 >= PathLimits.renaming } ?? true }

  func isHeldDown(_ now: Instant) -> Bool { notBefore.map { now < $0 } ?? false }
}
