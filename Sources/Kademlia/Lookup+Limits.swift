public import MeshWire

extension Lookup {
  /// The numbers that bound a look-up.
  public struct Limits: Hashable, Sendable {
    // Specification.

    /// α of the Kademlia paper: queries in flight.
    public var parallelism = 3
    /// k: how many of the nearest nodes must have answered, and how many the result holds.
    public var results = 20
    /// Hints believed from one answer; the rest is dropped and counted.
    public var hintsPerAnswer = 20

    // Implementation.

    /// Queries that the look-up sends in all.
    public var queries = 60
    /// Answers that it takes; no bound of its own by default.
    public var answers = Int.max
    /// Nodes that it remembers.
    public var candidates = 128
    /// Different claims (KeyHash or endpoint) remembered of one PeerID: one false hint must not hide the true
    /// one.
    public var claimsPerPeer = 3
    /// After this a query no longer counts as in flight; a late answer is still used.
    public var queryTimeout = Duration.seconds(2)
    /// After this the look-up ends with what it has.
    public var timeout = Duration.seconds(10)
    /// Follows loopback hints. Only for tests, and for several nodes on one machine.
    public var allowsLoopback = false

    public init() {}
  }

  /// What a look-up did and refused.
  public struct Counters: Hashable, Sendable {
    public var queried = 0
    public var answered = 0
    public var failed = 0
    public var timedOut = 0
    /// Hints beyond `Limits.hintsPerAnswer`.
    public var hintsOverLimit = 0
    /// Hints that name this node itself.
    public var ownIdentifier = 0
    /// Hints with an endpoint that strangers may not make us dial.
    public var notDialable = 0
    /// Hints beyond `Limits.claimsPerPeer`, or against a peer whose identity its answer has proved.
    public var refusedClaims = 0
    /// Candidates left out, or dropped, because nearer ones filled the list.
    public var candidatesOverLimit = 0
    /// Answers from nodes that were not asked.
    public var unexpectedAnswers = 0
    /// Nodes not asked because their /24 or /56 had its share (``DisjointLookup/Limits/queriesPerPrefix``).
    public var prefixLimit = 0

    public init() {}

    mutating func add(_ other: Counters) {
      queried += other.queried
      answered += other.answered
      failed += other.failed
      timedOut += other.timedOut
      hintsOverLimit += other.hintsOverLimit
      ownIdentifier += other.ownIdentifier
      notDialable += other.notDialable
      refusedClaims += other.refusedClaims
      candidatesOverLimit += other.candidatesOverLimit
      unexpectedAnswers += other.unexpectedAnswers
      prefixLimit += other.prefixLimit
    }
  }
}

/// What to do next for a look-up.
public enum LookupStep: Hashable, Sendable {
  /// Send FIND_NODE for the look-up's target to this node, then call `next` again.
  case query(ContactHint)
  /// Nothing to do before an answer or a failure, or this moment, comes.
  case waiting(until: Instant)
  /// It is over; every further `next` says the same.
  case finished(LookupResult)
}

/// How a look-up ended.
public struct LookupResult: Hashable, Sendable {
  /// Why it ended.
  public enum Reason: Hashable, Sendable {
    /// The k nearest nodes that it knows of have answered.
    case converged
    /// Every known node has answered or failed, and fewer than k answered.
    case exhausted
    /// `Lookup.Limits.queries` were sent.
    case queryLimit
    /// `Lookup.Limits.answers` were taken.
    case answerLimit
    /// `Lookup.Limits.timeout` passed.
    case deadline
    /// The caller stopped it.
    case stopped
  }

  public let target: PeerID
  public let reason: Reason
  /// The nodes that answered, nearest to the target first, at most k.
  public let closest: [ContactHint]
  /// Claims of where the target itself is, proved (it answered) or not, the proved one first.
  public let targetClaims: [ContactHint]
  /// The nearest that answered on each walk of a ``DisjointLookup``, nearest first; empty for others.
  public var walkEnds: [ContactHint] = []
  public let counters: Lookup.Counters
}
