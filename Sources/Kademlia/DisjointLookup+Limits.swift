import MeshWire

extension DisjointLookup {
  /// The numbers that bound a look-up over disjoint paths.
  public struct Limits: Hashable, Sendable {
    // Specification.

    /// d of S/Kademlia: 4, or 8 where security needs it. With 1 it is the look-up of the Kademlia paper.
    public var paths = 4
    /// k: how many nodes the result holds.
    public var results = 20
    /// α of the Kademlia paper, for a look-up of one path; the paths of several ask one node at a time each.
    public var parallelism = 3

    // Implementation.

    /// Walks of a path: as many seeds are dealt to each.
    public var walksPerPath = 5
    /// Answers that a walk takes before the path goes back to its next seed: twice the hops that 10,000 nodes
    /// with tables of 100 need.
    public var answersPerWalk = 6
    /// Queries of a walk, those without an answer included.
    public var queriesPerWalk = 12
    /// Queries of a path, those without an answer included. Queries in all: as many for each path, and
    /// ``companions``.
    public var queriesPerPath = 30
    /// Queries to nodes of one /24 or /56, over all paths.
    public var queriesPerPrefix = 10
    /// Nodes that a walk remembers; a path has one walk at a time.
    public var candidates = 128
    /// Nodes asked beside the paths, and how many of them at a time.
    public var companions = 256
    public var companionParallelism = 16
    /// As in ``Lookup/Limits``.
    public var hintsPerAnswer = 20
    public var claimsPerPeer = 3
    public var queryTimeout = Duration.seconds(2)
    /// After this a path goes on to its next walk.
    public var walkTimeout = Duration.seconds(8)
    /// After this the look-up ends with what it has.
    public var timeout = Duration.seconds(20)
    /// Follows loopback hints, and counts no prefix for them. Only for tests, and for several nodes on one
    /// machine.
    public var allowsLoopback = false

    public init() {}

    /// Seeds that the paths can use: ask the routing table for as many.
    public var seeds: Int { paths == 1 ? results : paths * walksPerPath }
  }
}
