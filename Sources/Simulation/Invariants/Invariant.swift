public import MeshWire

/// What must hold at every moment of every run: the protocol design's list, each by a name of its own.
public enum Invariant: String, Sendable, Hashable, CaseIterable {
  /// No pair of key and counter is sealed with twice.
  case noCounterTwice = "no-counter-twice"
  /// No packet is accepted twice.
  case noPacketTwice = "no-packet-twice"
  /// Never more than three times as many bytes to an address that never answered as came from it.
  case noAmplification = "no-amplification"
  /// Half-open handshakes, reassembly, sessions and queues stay within their bounds.
  case boundedTables = "bounded-tables"
  /// Whoever is connected to is who the KeyHash says, and has the same session.
  case agreement = "agreement"
  /// A packet comes out where it was sent to, unchanged, and from whom it says.
  case authenticity = "authenticity"
  /// Under load, and on public nodes always, no asymmetric operation before a valid cookie.
  case noWorkBeforeCookie = "no-work-before-cookie"
}

/// A broken invariant.
public struct Violation: Error, Sendable, Hashable, CustomStringConvertible {
  public let invariant: Invariant
  public let at: Instant
  public let detail: String

  public var description: String {
    let seconds = Double(at.nanoseconds) / 1e9 - 1_000
    return "\(invariant.rawValue) broken \(seconds) s into the run: \(detail)"
  }
}
