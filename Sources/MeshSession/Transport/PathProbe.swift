public import MeshWire

/// Finds the largest datagram that a path carries, and whether it still does (SMH1.md §9; RFC 8899).
///
/// The largest size is asked first, because most paths carry it: those are found in one round trip. Otherwise
/// the middle of what is left, until nothing is. A size counts only when a probe of that size was answered;
/// probes without an answer rule it out, and what is larger with it: three of a size that is new, six of the
/// one in use, which only small datagrams use meanwhile.
struct PathProbe {
  static let request: UInt8 = 0x30
  static let answer: UInt8 = 0x31

  /// What a probe that is out asks.
  private enum Question {
    /// Whether a size passes that hasn't passed yet.
    case search
    /// Whether the one in use still does.
    case confirmation
  }

  /// The largest size that a probe has proved.
  private(set) var proven = Layout.basePayload
  /// The size that is asked for now; `nil` while nothing is.
  private(set) var asked: Int?
  private(set) var tries = 0
  private var question = Question.search
  /// Sizes from this position on are not asked for: they have failed, or whoever carries the datagrams said
  /// so.
  private var ceiling = 0
  /// The largest size that this path has ever carried.
  private var largestPassed = Layout.basePayload
  /// Larger datagrams than this are never tried: a relay circuit carries no more.
  private let limit: Int
  /// The search that is under way began when another had ended.
  private var isRaise = false
  /// The next probe, or the end of the wait for the answer to the last one.
  private var due: Instant?
  /// How often the size of a search had been asked for when a confirmation came in between.
  private var pausedTries: Int?
  private var firstAskedAt: Instant?
  /// How long the answer to a probe that was asked for once has taken.
  private var roundTrip = Duration.zero
  /// Something of the peer's has come since the size in use was first asked about.
  private var hasHeard = false
  /// When a search that is over begins anew, or an unused path is asked whether it is as it was.
  private var raiseAt: Instant?
  /// When it is asked whether large datagrams still pass, because some were sent.
  private var confirmAt: Instant?

  /// Something speaks against the size in use: nothing larger goes out than every path carries until it is
  /// confirmed.
  private var isDoubted = false
  /// When the peer last had cause to see pieces because of a doubt here.
  private var doubtedAt: Instant?
  /// The largest datagram with a message of the peer's, since it last gave cause for a doubt.
  private var largestHeard = 0

  /// When ``fire(now:)`` is wanted; `nil` until ``start(now:)``.
  var next: Instant? {
    guard asked != nil else { return earlier(raiseAt, confirmAt) }
    return question == .search ? earlier(due, confirmAt) : due
  }

  /// The size that datagrams may have now. While a confirmation is overdue that is what every path carries:
  /// should the path have begun to lose large ones, nothing more is lost while that is found out.
  var payload: Int { isInDoubt ? Layout.basePayload : proven }

  private var isInDoubt: Bool {
    asked != nil && question == .confirmation && (isDoubted || tries > 1)
  }

  /// Whether what the path carries is known: the search for it is over, or only looks for more.
  var isDecided: Bool {
    guard asked != nil else { return raiseAt != nil }
    return question == .search ? isRaise : !isInDoubt && (pausedTries == nil || isRaise)
  }

  /// A path of which nothing is known, and nothing asked until ``start(now:)``.
  ///
  /// - Parameter limit: the largest datagram that can pass, in bytes, when that is known beforehand.
  init(limit: Int? = nil) {
    self.limit = limit ?? .max
    ceiling = highest
  }

  /// The position after the last size that isn't over the limit.
  private var highest: Int {
    Layout.probedPayloads.firstIndex { $0 > limit } ?? Layout.probedPayloads.count
  }

  /// Forgets what is known of the path, but for its limit, and asks nothing until ``start(now:)``.
  mutating func stop() { self = PathProbe(limit: limit) }

  /// Forgets what is known of the path, but for its limit, and begins to search.
  mutating func start(now: Instant) {
    stop()
    search(now)
  }

  /// Asks for the next size, or is done.
  private mutating func search(_ now: Instant) {
    question = .search
    tries = pausedTries ?? 0
    pausedTries = nil
    asked = candidate
    guard asked == nil else {
      due = now
      return
    }
    isRaise = false
    // Sooner where more has passed before: three probes can be lost by chance.
    raiseAt = now + (largestPassed > proven ? Limits.probePauseAfterLoss : Limits.probePause)
  }

  /// The size to ask for next: the largest, or the middle of what is left once that has failed.
  private var candidate: Int? {
    let open = Layout.probedPayloads[..<ceiling].drop { $0 <= proven }
    guard let last = open.last else { return nil }
    return ceiling == highest ? last : open[open.startIndex + (open.count - 1) / 2]
  }

  /// What to do at ``next``: send a probe of the size that is returned, or nothing for now.
  mutating func fire(now: Instant) -> Int? {
    if let confirmAt, confirmAt <= now, question == .search || asked == nil {
      confirm(now)
    } else if asked == nil {
      beginAgain(now)
    }
    if let asked, tries >= mostTries { ruleOut(asked, now) }
    guard let asked else { return nil }
    tries += 1
    if tries == 1 { firstAskedAt = now }
    if question == .confirmation, tries > 1 { doubtedAt = now }
    due = now + wait
    return asked
  }

  /// While nothing at all comes, it is not the size that is wrong: it is asked about until the session gives
  /// the path up (SMH1.md §8).
  private var mostTries: Int {
    guard question == .confirmation else { return Limits.probeTries }
    return hasHeard ? Limits.confirmationTries : .max
  }

  /// To the next probe. Only small datagrams go while a confirmation is overdue, so that the first wait is
  /// short.
  private var wait: Duration {
    guard question == .confirmation, tries == 1 else { return Limits.probeInterval }
    return min(max(roundTrip * 2, Limits.probeGrace), Limits.probeInterval)
  }

  private mutating func beginAgain(_ now: Instant) {
    guard let raiseAt, raiseAt <= now else { return }
    ceiling = highest
    guard candidate == nil else {
      isRaise = true
      return search(now)
    }
    self.raiseAt = now + Limits.probePause
    if proven > Layout.basePayload { confirm(now) }
  }

  /// A search that is under way goes on afterwards.
  private mutating func confirm(_ now: Instant) {
    if asked != nil, question == .search { pausedTries = tries }
    confirmAt = nil
    question = .confirmation
    asked = proven
    tries = 0
    hasHeard = false
    due = now
  }

  /// Whether larger datagrams still pass is asked at once, and none is sent before the answer.
  mutating func doubt(now: Instant) {
    guard proven > Layout.basePayload, !isDoubted else { return }
    isDoubted = true
    doubtedAt = now
    confirm(now)
  }

  /// The path in use is asked by a check whether it carries anything: so is the size in use, if datagrams of
  /// it went out. Returns whether a probe is to go ahead of that check.
  mutating func pathAsked(now: Instant) -> Bool {
    guard confirmAt != nil, question == .search || asked == nil else { return false }
    confirm(now)
    return true
  }

  /// A check of the path in use, which every path's size suffices for, was answered: a larger probe that went
  /// ahead of it has little time left.
  mutating func pathAnswered(now: Instant) {
    guard asked != nil, question == .confirmation, tries == 1 else { return }
    due = min(due ?? now, now + Limits.checkedProbeGrace)
  }

  /// Something authentic has come. What was asked while nothing came at all says nothing of the size.
  mutating func heard() {
    guard !hasHeard else { return }
    hasHeard = true
    guard asked != nil, question == .confirmation, tries > 1 else { return }
    isDoubted = true
    tries = 1
  }

  /// A whole message of the peer's came in one datagram of `size`.
  mutating func heardWhole(_ size: Int) {
    if size > Layout.basePayload { largestHeard = max(largestHeard, size) }
  }

  /// The peer sends in pieces what it sent whole before, in a datagram of `size`: the path has shrunk its
  /// way, and most likely ours. Not when it does so because of a doubt of ours: the two would go on for ever.
  mutating func heardInPieces(_ size: Int, now: Instant) {
    guard size > Layout.basePayload, size <= largestHeard else { return }
    largestHeard = 0
    if let doubtedAt, now - doubtedAt < Limits.probeDoubtPause { return }
    doubt(now: now)
  }

  /// Nothing of `size`, or larger, passes.
  private mutating func ruleOut(_ size: Int, _ now: Instant) {
    ceiling = min(ceiling, Layout.probedPayloads.firstIndex { $0 >= size } ?? ceiling)
    if proven >= size {
      proven = Layout.basePayload
      isRaise = false
      isDoubted = false
      confirmAt = nil
    }
    pausedTries = nil
    search(now)
  }

  /// An answer for `size` came. Returns whether it was asked for.
  mutating func answered(_ size: Int, now: Instant) -> Bool {
    guard tries > 0, size == asked else { return false }
    if tries == 1, let firstAskedAt { roundTrip = now - firstAskedAt }
    guard question == .search else {
      asked = nil
      isDoubted = false
      tries = 0
      if pausedTries != nil { search(now) }
      return true
    }
    proven = size
    largestPassed = max(largestPassed, size)
    search(now)
    return true
  }

  /// The host or the network refused a datagram of `size` as larger than the path. Returns whether such a one
  /// may have been sent.
  mutating func refused(_ size: Int, now: Instant) -> Bool {
    let isOut = tries > 0 && (asked.map { $0 >= size } ?? false)
    guard isOut || proven > Layout.basePayload && proven >= size else { return false }
    ruleOut(size, now)
    return true
  }

  /// A datagram went out that only a proven path carries: whether it still does is asked a little later.
  mutating func sentLarge(now: Instant) {
    guard confirmAt == nil, proven > Layout.basePayload, question == .search || asked == nil else { return }
    confirmAt = now + Limits.probeConfirmation
  }
}

extension Session {
  /// Sends the probe that is due, or draws the conclusion from those that weren't answered.
  mutating func fireProbe(_ now: Instant, _ actions: inout [SessionAction]) {
    let size = probe.fire(now: now)
    notePath(&actions)
    guard let size, maySend(now) else { return }
    var text = [ContentKind.control.rawValue, PathProbe.request]
    text.append(bigEndian: UInt16(size))
    text += repeatElement(0, count: size - Layout.emptySize - text.count)
    // A probe is no sign of life and asks for none: on a path that drops it, silence would be found where
    // none is.
    actions.append(.sendProbe(sealWhole(text)))
  }

  mutating func receiveProbe(
    _ message: [UInt8], _ datagramSize: Int, _ now: Instant, _ actions: inout [SessionAction]
  ) -> TransportDrop? {
    guard message.count >= 3, Int(message[1]) << 8 | Int(message[2]) == datagramSize,
      message[3...].allSatisfy({ $0 == 0 })
    else { return .probeRefused }
    _ = send(control: [PathProbe.answer, message[1], message[2]], now: now, into: &actions)
    return nil
  }

  mutating func receiveProbeAnswer(
    _ message: [UInt8], _ now: Instant, _ actions: inout [SessionAction]
  ) -> TransportDrop? {
    guard message.count == 3, probe.answered(Int(message[1]) << 8 | Int(message[2]), now: now) else {
      return .probeRefused
    }
    notePath(&actions)
    return nil
  }

  /// The host or the network refused a datagram of `size` bytes as larger than the path: nothing as large is
  /// sent from here on, and what is smaller is asked for at once. Nothing changes when nothing as large was
  /// sent.
  public mutating func pathRefused(size: Int, now: Instant, into actions: inout [SessionAction]) {
    if probe.refused(size, now: now) { notePath(&actions) }
  }

  /// What goes this way may be lost for its size: until a probe has shown that it is not, nothing larger is
  /// sent than every path carries.
  public mutating func sizeDoubted(now: Instant, into actions: inout [SessionAction]) {
    probe.doubt(now: now)
    notePath(&actions)
  }

  /// The path in use is silent, and about to be asked by a check: whether it still carries what is sent there
  /// is asked as well, and known when one of the two is answered.
  public mutating func pathAsked(now: Instant, into actions: inout [SessionAction]) {
    if probe.pathAsked(now: now) { fireProbe(now, &actions) }
  }

  /// A check of the path in use was answered.
  public mutating func pathAnswered(now: Instant, into actions: inout [SessionAction]) {
    probe.pathAnswered(now: now)
    notePath(&actions)
  }

  /// The session's packets go another way from here on: back to what every path carries, until probes say
  /// more.
  ///
  /// - Parameter limit: the largest datagram that can pass there, in bytes, when that is known beforehand.
  public mutating func pathChanged(limit: Int? = nil, now: Instant, into actions: inout [SessionAction]) {
    roaming.stop()
    probe = PathProbe(limit: limit)
    // Before that, the peer may not have the keys yet: the first packet that opens starts them.
    if isConfirmed { probe.start(now: now) }
    notePath(&actions)
  }

  mutating func notePath(_ actions: inout [SessionAction]) {
    guard probe.payload != pathPayload || probe.isDecided != isPathDecided else { return }
    pathPayload = probe.payload
    isPathDecided = probe.isDecided
    actions.append(.pathPayload(pathPayload))
  }
}
