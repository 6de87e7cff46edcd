/// What happens to one datagram of a run that goes by a script.
public enum Fate: Sendable, Hashable, CaseIterable {
  case drop
  case duplicate
  /// It waits for another three delays, so that what comes after overtakes it.
  case holdBack
  /// The host that sends it loses its power right after, and starts anew.
  case senderRestarts
  /// And the host that it is for, right before it arrives.
  case receiverRestarts
}

/// Fates by the number of the datagram, counted over the whole world from zero.
public struct Script: Sendable, Hashable {
  public var fates: [Int: Fate]
  /// Datagrams sent so far.
  public internal(set) var sent = 0

  public init(_ fates: [Int: Fate] = [:]) { self.fates = fates }

  mutating func next() -> Fate? {
    defer { sent += 1 }
    return fates[sent]
  }
}
