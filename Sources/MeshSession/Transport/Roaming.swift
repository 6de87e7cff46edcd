public import MeshWire

/// Where a transport packet came from, beside where its session's packets go.
public struct Arrival {
  public let source: Endpoint
  public let endpoint: Endpoint
  /// Whether ``source`` is another path that the caller knows already: its packets say nothing of where the
  /// peer has gone.
  public let isKnownPath: Bool

  public init(from source: Endpoint, endpoint: Endpoint, isKnownPath: Bool = false) {
    self.source = source
    self.endpoint = endpoint
    self.isKnownPath = isKnownPath
  }

  var isElsewhere: Bool { source != endpoint }
}

/// Whether the peer is where its packets seem to come from (SMH1.md §9): at most one challenge at a time,
/// and never more bytes to an address than three times what came from it.
struct Roaming {
  static let challenge: UInt8 = 0x32
  static let answer: UInt8 = 0x33
  /// Type 1 ‖ bytes 8.
  static let messageSize = 9
  /// The datagram of either.
  static let datagramSize = Layout.wholeOverhead + messageSize

  /// A challenge that is out, or that waits for its bytes.
  struct Candidate {
    let endpoint: Endpoint
    let bytes: [UInt8]
    var received: Int
    var sent = 0
    var tries = 0
    var next: Instant
  }

  private(set) var candidate: Candidate?
  /// Another candidate is taken no sooner.
  private var notBefore: Instant?
  /// Bytes of answers to challenges from where no candidate is yet: one would have to be paid for with what
  /// is left.
  private var answers: (to: Endpoint, bytes: Int)?

  var deadline: Instant? { candidate?.next }

  func mayBegin(_ now: Instant) -> Bool { notBefore.map { $0 <= now } ?? true }

  /// The caller fetches random bytes meanwhile; whatever else it does, the next is a second away.
  mutating func hold(_ now: Instant) { notBefore = now + Limits.challengeInterval }

  mutating func begin(_ endpoint: Endpoint, bytes: [UInt8], received: Int, now: Instant) {
    let spent = answers.flatMap { $0.to == endpoint ? $0.bytes : nil } ?? 0
    candidate = Candidate(endpoint: endpoint, bytes: bytes, received: received, sent: spent, next: now)
  }

  mutating func stop() { candidate = nil }

  mutating func received(_ count: Int, from source: Endpoint) {
    if candidate?.endpoint == source { candidate!.received += count }
  }

  /// An answer to a challenge goes there.
  mutating func answered(_ endpoint: Endpoint) {
    if candidate?.endpoint == endpoint {
      candidate!.sent += Self.datagramSize
    } else {
      let earlier = answers.flatMap { $0.to == endpoint ? $0.bytes : nil } ?? 0
      answers = (endpoint, earlier + Self.datagramSize)
    }
  }

  /// Whether another challenge may go out: what came from there pays for it.
  var isPaidFor: Bool {
    candidate.map { $0.sent + Self.datagramSize <= Limits.amplification * $0.received } ?? false
  }

  mutating func tried(isSent: Bool, now: Instant) {
    candidate?.tries += 1
    if isSent { candidate?.sent += Self.datagramSize }
    candidate?.next = now + Limits.challengeInterval
  }
}

extension Session {
  /// Looks at where an authentic packet came from. `isNewest`: nothing that its sender sealed later has come.
  mutating func arrived(
    _ arrival: Arrival, size: Int, isNewest: Bool, _ now: Instant, _ actions: inout [SessionAction]
  ) {
    roaming.received(size, from: arrival.source)
    // An old packet says nothing of where the peer is now: anyone may have kept it.
    guard isNewest else { return }
    guard arrival.isElsewhere else {
      // It has sent from where we know it to be since the packet that raised the question.
      roaming.stop()
      return
    }
    // A session that only receives has nothing to send elsewhere, and must not: the one that took its place
    // finds out by itself.
    guard arrival.source != roaming.candidate?.endpoint, maySend(now) else { return }
    guard roaming.mayBegin(now) else {
      drops.count(.challengeTooSoon)
      actions.append(.dropped(.challengeTooSoon))
      return
    }
    roaming.hold(now)
    actions.append(.wantsChallenge(arrival.source, received: size))
  }

  /// Asks whether the peer is at `endpoint`, as ``SessionAction/wantsChallenge(_:received:)`` wanted.
  ///
  /// - Parameters:
  ///   - bytes: 8 random bytes, never used before.
  ///   - received: bytes that came from there, as the action named them.
  public mutating func challenge(
    _ endpoint: Endpoint, bytes: [UInt8], received: Int, now: Instant, into actions: inout [SessionAction]
  ) {
    precondition(bytes.count == Roaming.messageSize - 1, "SMH1.md §9: 8 random bytes")
    roaming.begin(endpoint, bytes: bytes, received: received, now: now)
    fireChallenge(now, &actions)
  }

  /// Sends the challenge, or gives up.
  mutating func fireChallenge(_ now: Instant, _ actions: inout [SessionAction]) {
    guard let candidate = roaming.candidate, candidate.tries < Limits.challengeTries, maySend(now) else {
      roaming.stop()
      return
    }
    let isPaidFor = roaming.isPaidFor
    roaming.tried(isSent: isPaidFor, now: now)
    guard isPaidFor else {
      drops.count(.challengeWithheld)
      actions.append(.dropped(.challengeWithheld))
      return
    }
    // It goes elsewhere: no keepalive of the path in use, and no sign of life is due for it.
    let text = [ContentKind.control.rawValue, Roaming.challenge] + candidate.bytes
    actions.append(.sendElsewhere(sealWhole(text), to: candidate.endpoint))
  }

  /// The peer wonders whether we are where our packets come from. It hears so from there, sent to where it
  /// asked from.
  mutating func receiveChallenge(
    _ message: [UInt8], _ arrival: Arrival?, _ now: Instant, _ actions: inout [SessionAction]
  ) -> TransportDrop? {
    guard message.count == Roaming.messageSize, let arrival, maySend(now) else { return .challengeRefused }
    actions.append(
      .sendElsewhere(
        sealWhole([ContentKind.control.rawValue, Roaming.answer] + message[1...]), to: arrival.source))
    if arrival.isElsewhere { roaming.answered(arrival.source) }
    // Our way to the peer is another than before: what it carries is not known.
    probe.start(now: now)
    notePath(&actions)
    return nil
  }

  mutating func receiveChallengeAnswer(
    _ message: [UInt8], _ arrival: Arrival?, _ now: Instant, _ actions: inout [SessionAction]
  ) -> TransportDrop? {
    guard let arrival, let candidate = roaming.candidate, arrival.source == candidate.endpoint,
      message[1...] == candidate.bytes[...], maySend(now)
    else { return .challengeRefused }
    roaming.stop()
    actions.append(.moved(candidate.endpoint))
    pathChanged(now: now, into: &actions)
    return nil
  }
}
