import MeshWire

extension RoutingTable {
  /// The numbers that shape a table. The defaults are a light node's.
  public struct Limits: Hashable, Sendable {
    // Specification.

    /// k of the Kademlia paper: contacts in a bucket.
    public var bucketSize = 20
    /// Contacts in the whole table.
    public var capacity = 100
    /// The nearest contacts, of which none gives way to a farther one: k, those that hold our records and
    /// whose records we hold.
    public var nearest = 20
    /// Contacts of one /24 (IPv4) or /56 (IPv6) in a bucket.
    public var prefixPerBucket = 2
    /// Contacts of one /24 or /56 in the table.
    public var prefixPerTable = 10

    // Implementation.

    /// Contacts that wait in a bucket's replacement cache (Kademlia paper §4.1).
    public var replacements = 10
    /// Failures in a row after which a contact is removed.
    public var failures = 3
    /// Whoever was seen within this isn't pinged: a ping may cost a handshake, and nodes that have been there
    /// for long mostly stay (Kademlia paper §2.1).
    public var pingAfter = Duration.seconds(600)
    /// How long an asked-for ping of a bucket's oldest contact may stay without a verdict before it is asked
    /// again.
    public var pingTimeout = Duration.seconds(10)
    /// A bucket without a look-up for this long is refreshed (Kademlia paper §2.3).
    public var refreshInterval = Duration.seconds(3600)
    /// Accepts loopback endpoints and counts no prefix for them. Only for tests, and for several nodes on one
    /// machine.
    public var allowsLoopback = false

    public init() {}
  }

  /// What the table did and refused since it was made. Each limit has its own number.
  public struct Counters: Hashable, Sendable {
    public var inserted: UInt64 = 0
    public var updated: UInt64 = 0
    /// Far contacts that made room for nearer ones.
    public var displaced: UInt64 = 0
    /// Contacts put in a replacement cache.
    public var cached: UInt64 = 0
    /// Contacts that fell out of a full replacement cache.
    public var cacheOverflow: UInt64 = 0
    /// Contacts kept out of a replacement cache by its own prefix limit.
    public var cachePrefixLimit: UInt64 = 0
    public var pingsAsked: UInt64 = 0
    public var failures: UInt64 = 0
    public var removed: UInt64 = 0
    /// Contacts that moved from a replacement cache to the table.
    public var promoted: UInt64 = 0
    public var ownIdentifier: UInt64 = 0
    public var conflictingKeyHash: UInt64 = 0
    public var notDialable: UInt64 = 0
    public var bucketPrefixLimit: UInt64 = 0
    public var tablePrefixLimit: UInt64 = 0
    public var tableFull: UInt64 = 0

    public init() {}
  }

  /// What became of a contact offered to ``RoutingTable/insert(_:now:)``.
  public enum InsertOutcome: Hashable, Sendable {
    /// It is in the table now.
    case inserted
    /// It was in the table and is now its bucket's most recently seen.
    case updated
    /// It is in the table now, and this contact of a farther bucket made room for it.
    case displaced(Contact)
    /// It waits in the replacement cache. Ping this one, then report `seen` or `failed`: only its silence
    /// makes room.
    case pingOldest(Contact)
    /// It waits in the replacement cache; the bucket's oldest needs no ping, or is being pinged already.
    case cached
    /// It is not kept at all.
    case refused(InsertRefusal)
  }

  /// Why a contact is not kept.
  public enum InsertRefusal: Hashable, Sendable {
    /// It is this node itself.
    case ownIdentifier
    /// Another KeyHash with the same PeerID is known: an attack, or a collision that should not occur. Raise
    /// an alarm.
    case conflictingKeyHash
    /// A loopback, multicast, link-local, unspecified or overlay address, or port 0.
    case notDialable
    /// Its /24 or /56 has all the places in this bucket that one prefix may have.
    case bucketPrefixLimit
    /// Its /24 or /56 has all the places in the table that one prefix may have.
    case tablePrefixLimit
    /// The table is full and every bucket is down to one contact.
    case tableFull
  }

  /// What became of a contact that did not answer.
  public enum FailureOutcome: Hashable, Sendable {
    /// It is not in the table.
    case unknown
    /// It stays, with so many failures in a row.
    case kept(failures: Int)
    /// It is gone; the replacement, if any, is in the table.
    case removed(replacement: Contact?)
  }
}

extension Endpoint {
  /// Whether a table or a look-up may hold this endpoint.
  func isDialable(allowingLoopback: Bool) -> Bool {
    isDialable || (allowingLoopback && address.isLoopback && port != 0)
  }
}
