public import MeshCrypto
public import MeshWire

/// All handshakes that others began with us: half-opens, cookies, bounds and the 3× rule (SMH1.md §3, §5,
/// §7).
public struct ResponderTable {
  /// Datagrams and half-opens dropped, by reason.
  public internal(set) var drops = Tally<HandshakeDrop>()

  let own: IdentityPublicKey
  let mac1Key: [UInt8]
  let limits: ResponderLimits
  let alwaysDemandsCookie: Bool
  let suites: [AEADSuite]
  let seed: [UInt8]
  var drawn: UInt64 = 0
  var cookies: CookieJar

  var nextNumber: UInt64 = 1
  var halfOpens: [HalfOpenID: HalfOpen] = [:]
  /// More than one where fragments of M1 contradicted each other; in the order of their coming.
  var byOrigin: [HalfOpen.Origin: [HalfOpenID]] = [:]
  var byResponderID: [UInt64: HalfOpenID] = [:]
  var byIndex: [UInt32: HalfOpenID] = [:]
  var perPrefix: [IPAddress: Int] = [:]
  var completed: [UInt64: CompletedHandshake] = [:]
  var completedOrigins: [HalfOpen.Origin: UInt64] = [:]
  /// Responder ids in the order of completion, which is the order of their end.
  var completedOrder: [UInt64] = []
  /// Not after the earliest deadline; may be before it.
  var earliest: Instant?

  /// - Parameters:
  ///   - suites: in the order of our own preference.
  ///   - secretSeed: 32 bytes of randomness: cookie secrets, responder ids and jitter are drawn from it.
  public init(
    own: IdentityPublicKey, limits: ResponderLimits = ResponderLimits(), alwaysDemandsCookie: Bool,
    suites: [AEADSuite] = AEADSuite.allCases, secretSeed: [UInt8], now: Instant
  ) {
    precondition(secretSeed.count == 32, "a seed is 32 bytes")
    self.own = own
    self.limits = limits
    self.alwaysDemandsCookie = alwaysDemandsCookie
    self.suites = suites
    mac1Key = Macs.mac1Key(responder: own.keyHash)
    seed = secretSeed
    cookies = CookieJar(seed: secretSeed, now: now)
  }

  /// Handshakes under way.
  public var halfOpenCount: Int { halfOpens.count }

  /// Receiver indexes that half-opens hold.
  public func holdsIndex(_ index: UInt32) -> Bool { byIndex[index] != nil }

  /// When ``advance(to:into:)`` is wanted next; perhaps a little early.
  public var nextDeadline: Instant? { earliest }

  /// Takes a datagram of types 2, 6 or 7.
  ///
  /// - Parameters:
  ///   - queuedJobs: crypto jobs that wait, of the whole node: many of them make us demand cookies.
  ///   - freshIndex: a receiver index that no session of the node uses; not zero.
  ///   - admission: what the session classes say to a KeyHash, before anything asymmetric is computed for it.
  public mutating func receive(
    _ datagram: [UInt8], from source: Endpoint, now: Instant, queuedJobs: Int, freshIndex: () -> UInt32,
    admission: (KeyHash) -> Admission, into actions: inout [ResponderAction]
  ) {
    cookies.rotate(now: now)
    if let m1 = M1Datagram(datagram) {
      receiveM1(m1, source, now, queuedJobs, freshIndex, &actions)
    } else if let datagram = HandshakeDatagram(datagram), datagram.kind == .m3 || datagram.kind == .ack {
      receiveAnswer(datagram, source, now, admission, &actions)
    } else {
      drop(.malformed, &actions)
    }
  }

  /// Keeps a transport packet whose receiver index belongs to a half-open: at most 16 each, once the address
  /// is validated. Returns whether the index is one of ours; what is not kept is counted.
  public mutating func receiveEarly(_ datagram: Span<UInt8>, from source: Endpoint) -> Bool {
    guard datagram.count >= Layout.emptySize, Layout.isTransport(datagram[0]) else { return false }
    let index = (4..<8).reduce(UInt32(0)) { $0 << 8 | UInt32(datagram[$1]) }
    guard let id = byIndex[index], let halfOpen = halfOpens[id] else { return false }
    guard halfOpen.budget.isValidated, halfOpen.origin.source == source,
      halfOpen.early.count < Limits.earlyPackets
    else {
      drops.count(.earlyFull)
      return true
    }
    var copy: [UInt8] = []
    copy.reserveCapacity(datagram.count)
    for position in datagram.indices { copy.append(datagram[position]) }
    halfOpens[id]?.early.append(copy)
    return true
  }

  /// Fires what is due.
  public mutating func advance(to now: Instant, into actions: inout [ResponderAction]) {
    guard let earliest, earliest <= now else { return }
    cookies.rotate(now: now)
    for id in halfOpens.keys.filter({ halfOpens[$0].map { $0.deadline <= now } ?? false }).sorted() {
      guard let halfOpen = halfOpens[id] else { continue }
      if halfOpen.expires <= now {
        end(id, .expired, &actions)
      } else {
        fire(id, now, &actions)
      }
    }
    let over = completedOrder.prefix { completed[$0].map { $0.until <= now } ?? true }.count
    for id in completedOrder.prefix(over) { forgetCompleted(id) }
    completedOrder.removeFirst(over)
    self.earliest = halfOpens.values.reduce(nil) { earlier($0, $1.deadline) }
    if let first = completedOrder.first { note(completed[first]?.until) }
  }

  /// A half-open's own timer: M2 again, or an Ack of an incomplete M3.
  private mutating func fire(_ id: HalfOpenID, _ now: Instant, _ actions: inout [ResponderAction]) {
    guard var halfOpen = halfOpens[id], case .collectingM3(let sent) = halfOpen.phase else {
      halfOpens[id]?.backoff.stop()
      return
    }
    if let m3 = halfOpen.m3 {
      sendAck(m3, sent, &halfOpen, &actions)
    } else {
      // The timer runs only once the address is validated: before that M2 goes out when it is asked for. So
      // it does where others claim to be the same handshake.
      if byOrigin[halfOpen.origin]?.count == 1 { resendM2(&halfOpen, &actions) }
    }
    halfOpen.backoff.lengthen(now: now)
    halfOpens[id] = halfOpen
  }

  // MARK: Table

  mutating func note(_ deadline: Instant?) { earliest = earlier(earliest, deadline) }

  mutating func drop(_ reason: HandshakeDrop, _ actions: inout [ResponderAction]) {
    drops.count(reason)
    actions.append(.dropped(reason))
  }

  /// Takes a half-open out of every index.
  @discardableResult
  mutating func remove(_ id: HalfOpenID) -> HalfOpen? {
    guard let halfOpen = halfOpens.removeValue(forKey: id) else { return nil }
    byOrigin[halfOpen.origin]?.removeAll { $0 == id }
    if byOrigin[halfOpen.origin]?.isEmpty ?? false { byOrigin[halfOpen.origin] = nil }
    byResponderID[halfOpen.responderID] = nil
    byIndex[halfOpen.receiverIndex] = nil
    let prefix = halfOpen.origin.source.address.limitPrefix
    let left = (perPrefix[prefix] ?? 0) - 1
    perPrefix[prefix] = left > 0 ? left : nil
    return halfOpen
  }

  /// Ends a half-open without a session.
  mutating func end(_ id: HalfOpenID, _ reason: HandshakeDrop, _ actions: inout [ResponderAction]) {
    guard let halfOpen = remove(id) else { return }
    if halfOpen.receiverIndex != 0 { actions.append(.indexRetired(halfOpen.receiverIndex)) }
    drop(reason, &actions)
  }

  mutating func remember(_ handshake: CompletedHandshake) {
    if completedOrder.count >= Limits.rememberedHandshakes { forgetCompleted(completedOrder.removeFirst()) }
    completed[handshake.responderID] = handshake
    completedOrigins[handshake.origin] = handshake.responderID
    completedOrder.append(handshake.responderID)
    note(handshake.until)
  }

  private mutating func forgetCompleted(_ id: UInt64) {
    guard let handshake = completed.removeValue(forKey: id) else { return }
    if completedOrigins[handshake.origin] == id { completedOrigins[handshake.origin] = nil }
  }

  /// 64 bits that nobody outside can guess, from the seed.
  mutating func draw() -> UInt64 {
    var message = KeySchedule.label("responder id")
    message.append(bigEndian: drawn)
    drawn += 1
    return Primitives.hmacSHA256(key: seed, message).bigEndian64(at: 0)
  }

  // MARK: Sending

  /// Sends what the 3× rule allows; the rest is counted.
  mutating func send(
    _ datagrams: [[UInt8]], _ halfOpen: inout HalfOpen, _ actions: inout [ResponderAction]
  ) {
    for datagram in datagrams {
      guard halfOpen.budget.spend(datagram.count) else {
        drop(.amplification, &actions)
        continue
      }
      actions.append(.send(datagram, to: halfOpen.origin.source))
    }
  }

  mutating func resendM2(_ halfOpen: inout HalfOpen, _ actions: inout [ResponderAction]) {
    send(halfOpen.m2.missing, &halfOpen, &actions)
  }

  mutating func sendAck(
    _ m3: Reassembly, _ sent: HalfOpen.SentM2, _ halfOpen: inout HalfOpen,
    _ actions: inout [ResponderAction]
  ) {
    let ack = HandshakeDatagram.ack(
      m3.bitmap, suite: sent.suite.rawValue, receiver: halfOpen.origin.initiator, macKey: halfOpen.macKey)
    send([ack], &halfOpen, &actions)
  }
}
