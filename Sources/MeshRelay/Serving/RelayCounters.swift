/// Why a cell went no further.
public enum CellDrop: String, Sendable, Hashable, CaseIterable {
  /// Not of the one size, or a core that can't be right.
  case malformed
  /// A circuit id that names none of this neighbour's.
  case unknownCircuit = "unknown_circuit"
  /// A sequence number that came before, or is below the window.
  case replayed
  /// The layer's tag doesn't hold.
  case unauthenticated
  /// Over the offered rate, or over this neighbour's share of it.
  case overRate = "over_rate"
  /// The circuit or its reservation has used up its bytes or its time.
  case exhausted
  /// Larger than a circuit carries.
  case tooLarge = "too_large"
  /// The circuit doesn't stand, or its neighbour has no session.
  case notStanding = "not_standing"
}

/// Why a circuit ended or never stood; its number travels in CircuitClosed.
public enum CircuitEnd: UInt8, Sendable, Hashable, CaseIterable {
  /// A create message that can't be read, or with a circuit id of the wrong half.
  case malformed = 1
  /// It was made for an onion key that this relay no longer has, or never had.
  case unknownKey = 2
  /// The same create message came before, or its time is off.
  case replayed = 3
  /// The reservation is unknown or over.
  case noReservation = 4
  /// A table or a budget is full.
  case full = 5
  /// It would lead back to where it came from.
  case loop = 6
  /// The next relay, or the node that reserved, can't be reached.
  case unreachable = 7
  /// Nothing came back in time.
  case timedOut = 8
  case idle = 9
  /// Its bytes or its time are used up.
  case exhausted = 10
  /// A session between two neighbours of it has ended.
  case broken = 11
  /// Whoever it belongs to has closed it.
  case closed = 12
  /// This relay serves its owner's peers only, or nobody.
  case notAdmitted = 13
  /// Nothing comes back any more. Only ever said of one's own.
  case silent = 14
}

extension CircuitEnd: CustomStringConvertible {
  /// For a person.
  public var description: String {
    switch self {
    case .malformed: "a relay could not read what was asked of it"
    case .unknownKey: "a relay no longer has the key of its record"
    case .replayed: "a relay's clock and ours disagree, or it had the same request before"
    case .noReservation: "the peer has no place at that relay any more"
    case .full: "a relay is full"
    case .loop: "the chain would lead back to where it came from"
    case .unreachable: "the next relay, or the peer, could not be reached"
    case .timedOut: "nothing came back in time"
    case .idle: "nobody used it"
    case .exhausted: "its bytes or its time were used up"
    case .broken: "two of its relays lost each other"
    case .closed: "the other end closed it"
    case .notAdmitted: "a relay does not serve us"
    case .silent: "nothing came back any more"
    }
  }
}

/// Monotonic counts of a relay's work.
public struct RelayCounters: Sendable, Hashable {
  public var cellsForward: UInt64 = 0
  public var cellsBackward: UInt64 = 0
  /// Bytes of the cells that went on, both ways.
  public var bytes: UInt64 = 0
  public var circuitsOpened: UInt64 = 0
  public var reservationsMade: UInt64 = 0
  public var drops: [CellDrop: UInt64] = [:]
  /// Circuits that ended or never stood, by reason.
  public var ends: [CircuitEnd: UInt64] = [:]
  public var reservationsRefused: UInt64 = 0

  public init() {}

  mutating func count(_ drop: CellDrop) { drops[drop, default: 0] += 1 }
  mutating func count(_ end: CircuitEnd) { ends[end, default: 0] += 1 }
}
