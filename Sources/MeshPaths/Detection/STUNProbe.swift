import MeshWire

/// One question to one endpoint, asked several times. Each try is a transaction of its own, so that the round
/// trip of the one that was answered is known.
struct STUNProbe: Sendable {
  /// When each try is sent, counted from the first; and how long after the last one its answer is waited for.
  struct Schedule: Sendable {
    let tries: [Duration]
    let patience: Duration

    /// To learn something: 250 ms, doubling, then 1 s.
    static let asking = Schedule(
      tries: [.zero, .milliseconds(250), .milliseconds(750), .milliseconds(1_750), .milliseconds(2_750)],
      patience: .milliseconds(1_250))

    /// Where silence is an answer too: evenly, and often enough that loss is not taken for a filter (seven
    /// tries at 20 % loss each way: 1 in 1,300).
    static func listening(roundTrip: Duration) -> Schedule {
      Schedule(
        tries: (0..<7).map { .milliseconds(200 * $0) },
        patience: max(.milliseconds(300), min(.milliseconds(1_500), roundTrip * 3 / 2)))
    }
  }

  enum State: Sendable {
    case waiting
    case answered(STUNMessage, roundTrip: Duration)
    /// An error from the server, or an answer from another place than the one that was asked for.
    case refused
    case silent
  }

  let base: STUNTransaction
  let destination: Endpoint
  /// Where the answer has to come from.
  let origin: Endpoint
  let change: STUNSocket
  let schedule: Schedule
  private(set) var state = State.waiting
  private var sentAt: [Instant] = []
  private let startedAt: Instant

  init(
    _ base: STUNTransaction, to destination: Endpoint, answerFrom origin: Endpoint? = nil,
    change: STUNSocket = STUNSocket(), schedule: Schedule = .asking, now: Instant
  ) {
    self.base = base
    self.destination = destination
    self.origin = origin ?? destination
    self.change = change
    self.schedule = schedule
    startedAt = now
  }

  var isWaiting: Bool {
    switch state {
    case .waiting: true
    case .answered, .refused, .silent: false
    }
  }

  var response: STUNMessage? {
    switch state {
    case .answered(let message, _): message
    case .waiting, .refused, .silent: nil
    }
  }

  var roundTrip: Duration? {
    switch state {
    case .answered(_, let time): time
    case .waiting, .refused, .silent: nil
    }
  }

  /// `nil` once it is over.
  var nextDeadline: Instant? {
    guard isWaiting else { return nil }
    if sentAt.count < schedule.tries.count { return startedAt + schedule.tries[sentAt.count] }
    return startedAt + (schedule.tries.last ?? .zero) + schedule.patience
  }

  /// Sends what is due. After the clock has stood still for a while, one try only.
  mutating func advance(to now: Instant, into sends: inout [STUNSend]) {
    guard let due = nextDeadline, due <= now else { return }
    guard sentAt.count < schedule.tries.count else {
      state = .silent
      return
    }
    sends.append(STUNSend(bytes: request(base.attempt(sentAt.count)), to: destination))
    sentAt.append(now)
  }

  /// Whether the message is an answer to one of the tries.
  mutating func take(_ message: STUNMessage, from source: Endpoint, now: Instant) -> Bool {
    guard let number = message.transaction.attemptNumber(of: base), number < sentAt.count else {
      return false
    }
    // A second answer, or a late one, is still ours.
    guard isWaiting else { return true }
    guard message.messageClass == .success, message.unknownRequiredTypes.isEmpty, source == origin else {
      state = .refused
      return true
    }
    state = .answered(message, roundTrip: now - sentAt[number])
    return true
  }

  /// Our own request has come back to us.
  mutating func takeEcho(_ message: STUNMessage, now: Instant) -> Bool {
    guard message.messageClass == .request, let number = message.transaction.attemptNumber(of: base),
      number < sentAt.count
    else { return false }
    if isWaiting { state = .answered(message, roundTrip: now - sentAt[number]) }
    return true
  }

  /// Nothing more will come.
  mutating func giveUp() {
    if isWaiting { state = .silent }
  }

  /// With SOFTWARE, it is long enough for every attribute of RFC 5780 to fit an answer that is held to three
  /// times its size, for IPv6 too.
  private func request(_ transaction: STUNTransaction) -> [UInt8] {
    var message = STUNMessage(
      .request, transaction, attributes: [.software("ShadowMesh STUN")], hasFingerprint: true)
    if change.usesOtherAddress || change.usesOtherPort {
      message.attributes.insert(
        .changeRequest(address: change.usesOtherAddress, port: change.usesOtherPort), at: 0)
    }
    return message.encoded
  }
}
