import MeshCrypto
public import MeshWire

/// Finds out whether larger datagrams pass, and whether they still do (SMH1.md §9; RFC 8899 §5.1.1 has the
/// reasons for the timers).
struct PathProbe {
  static let request: UInt8 = 0x30
  static let answer: UInt8 = 0x31

  /// When the next probe goes out; `nil` until the session is confirmed.
  private(set) var next: Instant?
  private(set) var tries = 0
  /// Whether the path has shown what it carries: a probe was answered, or three were not.
  var isDecided = false

  var isOutstanding: Bool { tries > 0 }

  mutating func start(now: Instant) {
    next = now
    tries = 0
  }

  mutating func stop() { next = nil }

  mutating func sent(now: Instant) {
    tries += 1
    next = now + Limits.probeInterval
  }

  mutating func pause(for duration: Duration, now: Instant) {
    tries = 0
    next = now + duration
  }

  /// A datagram went out that only a proven path carries: that it still does is asked 15 s later.
  mutating func sentLarge(now: Instant) {
    guard tries == 0, let next, next > now + Limits.probeConfirmation else { return }
    self.next = now + Limits.probeConfirmation
  }
}

extension Session {
  /// Sends a probe, or gives up after three: then the path carries no more than 1,232.
  mutating func fireProbe(_ now: Instant, _ actions: inout [SessionAction]) {
    guard probe.tries < Limits.probeTries else {
      shrinkPath(now, &actions)
      return
    }
    let size = Layout.probedPayload
    var text = [ContentKind.control.rawValue, PathProbe.request]
    text.append(bigEndian: UInt16(size))
    text += repeatElement(0, count: size - Layout.emptySize - text.count)
    probe.sent(now: now)
    guard !isSuperseded, epochs[sending].maySend(now: now) else { return }
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
    guard message.count == 3, probe.isOutstanding,
      Int(message[1]) << 8 | Int(message[2]) == Layout.probedPayload
    else { return .probeRefused }
    probe.pause(for: Limits.probePause, now: now)
    setPathPayload(Layout.probedPayload, isDecided: true, &actions)
    return nil
  }

  /// The host or the network refused a datagram as larger than the path: what was proved holds no more.
  /// Packets go in two datagrams of 1,232 from here on. Nothing changes when that is so already.
  public mutating func pathRefused(now: Instant, into actions: inout [SessionAction]) {
    guard pathPayload > Layout.basePayload || probe.isOutstanding else { return }
    shrinkPath(now, &actions)
  }

  /// Sooner again where something larger has passed before: three probes can be lost by chance.
  private mutating func shrinkPath(_ now: Instant, _ actions: inout [SessionAction]) {
    let hadPassed = pathPayload > Layout.basePayload
    probe.pause(for: hadPassed ? Limits.probePauseAfterLoss : Limits.probePause, now: now)
    setPathPayload(Layout.basePayload, isDecided: true, &actions)
  }

  mutating func setPathPayload(_ size: Int, isDecided: Bool, _ actions: inout [SessionAction]) {
    guard size != pathPayload || isDecided != probe.isDecided else { return }
    pathPayload = size
    probe.isDecided = isDecided
    actions.append(.pathPayload(size))
  }
}
