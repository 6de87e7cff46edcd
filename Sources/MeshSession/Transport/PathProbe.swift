import MeshCrypto
import MeshWire

/// Finds out whether larger datagrams pass (SMH1.md §9): three tries a second apart, and again every 600 s.
struct PathProbe {
  static let request: UInt8 = 0x30
  static let answer: UInt8 = 0x31

  /// When the next probe goes out; `nil` until the session is confirmed.
  private(set) var next: Instant?
  private(set) var tries = 0

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

  mutating func pause(now: Instant) {
    tries = 0
    next = now + Limits.probePause
  }
}

extension Session {
  /// Sends a probe, or gives up after three: then the path carries no more than 1,232.
  mutating func fireProbe(_ now: Instant, _ actions: inout [SessionAction]) {
    guard probe.tries < Limits.probeTries else {
      probe.pause(now: now)
      setPathPayload(Layout.basePayload, &actions)
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
    probe.pause(now: now)
    setPathPayload(Layout.probedPayload, &actions)
    return nil
  }

  mutating func setPathPayload(_ size: Int, _ actions: inout [SessionAction]) {
    guard size != pathPayload else { return }
    pathPayload = size
    actions.append(.pathPayload(size))
  }
}
