public import MeshWire

/// A Kademlia routing table (Maymounkov and Mazières, 2002, §2.2 and §2.4) with a bound on the whole: the
/// nearest contacts, and an even share, at least one, for every far bucket that ever had one.
///
/// Contract: offer only contacts that a session authenticated. The table never acts by itself; `insert` may
/// ask for a ping, whose verdict comes back as `seen` or `failed`. Long-lived contacts are preferred: a
/// newcomer takes the place of one in its own bucket only after that one went silent.
public struct RoutingTable: Sendable {
  public let own: PeerID
  public let limits: Limits
  public private(set) var counters = Counters()
  /// Contacts in the table, the replacement caches not counted.
  public private(set) var count = 0

  var buckets: [Bucket]
  /// Contacts by prefix; at most `limits.capacity` keys.
  private var prefixes: [IPAddress: Int] = [:]

  public init(own: PeerID, limits: Limits = Limits(), now: Instant) {
    self.own = own
    self.limits = limits
    buckets = Array(repeating: Bucket(lastLookup: now), count: PeerID.bitWidth)
  }

  // MARK: Questions

  /// The contact with this PeerID, when it is in the table.
  public func contact(_ peerID: PeerID) -> Contact? {
    guard let index = bucketIndex(of: peerID), let position = buckets[index].position(of: peerID)
    else { return nil }
    return buckets[index].entries[position].contact
  }

  /// At most `count` contacts, nearest to `target` first.
  public func closest(to target: PeerID, count: Int) -> [Contact] {
    var found: [(distance: PeerID.Distance, contact: Contact)] = []
    found.reserveCapacity(self.count)
    for bucket in buckets {
      for entry in bucket.entries {
        found.append((entry.contact.peerID.distance(to: target), entry.contact))
      }
    }
    found.sort { $0.distance < $1.distance }
    return found.prefix(max(0, count)).map(\.contact)
  }

  /// All contacts, nearest bucket first, within a bucket the least recently seen first.
  public var contacts: [Contact] { buckets.flatMap { $0.entries.map(\.contact) } }

  /// Contacts in each bucket that has some, nearest first.
  public var occupancy: [(bucket: Int, count: Int)] {
    buckets.indices.compactMap { buckets[$0].entries.isEmpty ? nil : ($0, buckets[$0].entries.count) }
  }

  /// Contacts in all replacement caches together.
  public var replacementCount: Int { buckets.reduce(0) { $0 + $1.replacements.count } }

  func bucketIndex(of peerID: PeerID) -> Int? { own.distance(to: peerID).bucketIndex }

  // MARK: Contacts come

  /// Offers a contact that was just authenticated. Its `lastSeen` becomes `now`.
  ///
  /// - Parameter mayPing: whether a full bucket may ask for a ping of its oldest. Say no for a contact that
  ///   came to us: a ping may be a handshake with a node that doesn't know us, which would offer us to its
  ///   own table and ping in turn, and so on through the whole network without an end.
  public mutating func insert(_ contact: Contact, mayPing: Bool = true, now: Instant) -> InsertOutcome {
    var contact = contact
    contact.lastSeen = now
    return admit(contact, mayPing: mayPing, now: now)
  }

  /// As `insert`, but believes the contact's `lastSeen`.
  mutating func admit(_ contact: Contact, mayPing: Bool = true, now: Instant) -> InsertOutcome {
    guard let index = bucketIndex(of: contact.peerID) else { return refuse(.ownIdentifier) }
    guard contact.endpoint.isDialable(allowingLoopback: limits.allowsLoopback) else {
      return refuse(.notDialable)
    }
    if let position = buckets[index].position(of: contact.peerID) {
      return update(contact, bucket: index, position: position)
    }
    if let position = buckets[index].replacementPosition(of: contact.peerID) {
      guard buckets[index].replacements[position].keyHash == contact.keyHash else {
        return refuse(.conflictingKeyHash)
      }
      buckets[index].replacements.remove(at: position)
    }
    if let refusal = prefixRefusal(contact.endpoint.address, bucket: index) { return refuse(refusal) }
    if buckets[index].entries.count < limits.bucketSize {
      if count < limits.capacity {
        append(contact, bucket: index)
        counters.inserted += 1
        return .inserted
      }
      if let farther = displaceableBucket(for: index) {
        let displaced = displace(from: farther)
        append(contact, bucket: index)
        counters.inserted += 1
        return .displaced(displaced)
      }
    }
    guard let oldest = buckets[index].entries.first else { return refuse(.tableFull) }
    cache(contact, bucket: index)
    guard mayPing, now - oldest.contact.lastSeen >= limits.pingAfter else { return .cached }
    if let ping = buckets[index].ping, now < ping.askedAt + limits.pingTimeout { return .cached }
    buckets[index].ping = (oldest.contact.peerID, now)
    counters.pingsAsked += 1
    return .pingOldest(oldest.contact)
  }

  private mutating func update(_ contact: Contact, bucket index: Int, position: Int) -> InsertOutcome {
    var entry = buckets[index].entries[position]
    guard entry.contact.keyHash == contact.keyHash else { return refuse(.conflictingKeyHash) }
    let old = entry.contact.endpoint.address
    let new = contact.endpoint.address
    if contact.sequence >= entry.contact.sequence {
      if old.limitPrefix != new.limitPrefix {
        if let refusal = prefixRefusal(new, bucket: index) { return refuse(refusal) }
        release(old)
        claim(new)
      }
      entry.contact.endpoint = contact.endpoint
      entry.contact.sequence = contact.sequence
    }
    entry.contact.lastSeen = max(entry.contact.lastSeen, contact.lastSeen)
    markSeen(entry, bucket: index, position: position)
    counters.updated += 1
    return .updated
  }

  /// A contact proved that it is alive. Returns whether it is in the table.
  @discardableResult
  public mutating func seen(_ peerID: PeerID, now: Instant) -> Bool {
    guard let index = bucketIndex(of: peerID), let position = buckets[index].position(of: peerID)
    else { return false }
    var entry = buckets[index].entries[position]
    entry.contact.lastSeen = max(entry.contact.lastSeen, now)
    markSeen(entry, bucket: index, position: position)
    return true
  }

  /// Moves an entry to the most recently seen end; a ping of the oldest has its verdict when it was the
  /// oldest.
  private mutating func markSeen(_ entry: Bucket.Entry, bucket index: Int, position: Int) {
    var entry = entry
    entry.failures = 0
    buckets[index].entries.remove(at: position)
    buckets[index].place(entry)
    buckets[index].pingEnded(entry.contact.peerID)
  }

  // MARK: Contacts go

  /// A contact did not answer. After `limits.failures` in a row it is removed, and the most recently seen
  /// fitting replacement takes its place.
  public mutating func failed(_ peerID: PeerID) -> FailureOutcome {
    guard let index = bucketIndex(of: peerID), let position = buckets[index].position(of: peerID)
    else { return .unknown }
    counters.failures += 1
    buckets[index].pingEnded(peerID)
    buckets[index].entries[position].failures += 1
    let failures = buckets[index].entries[position].failures
    guard failures >= limits.failures else { return .kept(failures: failures) }
    takeOut(bucket: index, position: position)
    return .removed(replacement: promote(preferring: index))
  }

  /// Forgets a node, as after its tombstone. Returns what was known of it.
  @discardableResult
  public mutating func remove(_ peerID: PeerID) -> Contact? {
    guard let index = bucketIndex(of: peerID) else { return nil }
    if let position = buckets[index].replacementPosition(of: peerID) {
      return buckets[index].replacements.remove(at: position)
    }
    guard let position = buckets[index].position(of: peerID) else { return nil }
    let contact = takeOut(bucket: index, position: position)
    _ = promote(preferring: index)
    return contact
  }

  @discardableResult
  private mutating func takeOut(bucket index: Int, position: Int) -> Contact {
    let contact = buckets[index].entries.remove(at: position).contact
    buckets[index].pingEnded(contact.peerID)
    release(contact.endpoint.address)
    count -= 1
    counters.removed += 1
    return contact
  }

  /// Fills a freed place from the replacement cache of the bucket that lost a contact, else of the nearest
  /// bucket.
  private mutating func promote(preferring lost: Int) -> Contact? {
    for index in [lost] + buckets.indices where buckets[index].entries.count < limits.bucketSize {
      let cached = buckets[index].replacements
      for position in cached.indices.reversed()
      where prefixRefusal(cached[position].endpoint.address, bucket: index) == nil {
        let contact = buckets[index].replacements.remove(at: position)
        append(contact, bucket: index)
        counters.promoted += 1
        return contact
      }
    }
    return nil
  }

  // MARK: Capacity

  private mutating func append(_ contact: Contact, bucket index: Int) {
    claim(contact.endpoint.address)
    buckets[index].place(Bucket.Entry(contact: contact))
    count += 1
  }

  /// The bucket that makes room in a full table for a contact of bucket `index`; `nil` when the contact has
  /// no better right to a place than those that are there.
  ///
  /// The fullest bucket with a contact to spare gives way, of those the farthest: so the nearest contacts are
  /// all kept, and the far buckets share the rest evenly. Each of them halves the distance that is left to
  /// a target; eight contacts in it, not one, take eight times as much off at once, and leave seven others
  /// where one is silent or lies.
  private func displaceableBucket(for index: Int) -> Int? {
    let mine = buckets[index].entries.count
    var donor: Int?
    // Contacts up to and with the bucket that is looked at.
    var within = 0
    let nearest = buckets[...index].reduce(0) { $0 + $1.entries.count } < limits.nearest
    for position in buckets.indices {
      let count = buckets[position].entries.count
      within += count
      guard count > 1, count >= donor.map({ buckets[$0].entries.count }) ?? 0 else { continue }
      let mayGive =
        if mine == 0 {
          true
        } else if nearest {
          position > index
        } else {
          within > limits.nearest && count > mine + 1
        }
      if mayGive { donor = position }
    }
    return donor
  }

  private mutating func displace(from index: Int) -> Contact {
    let contact = takeOut(bucket: index, position: buckets[index].weakest ?? 0)
    counters.removed -= 1
    counters.displaced += 1
    cache(contact, bucket: index)
    return contact
  }

  private mutating func cache(_ contact: Contact, bucket index: Int) {
    let prefix = contact.endpoint.address.limitPrefix
    guard
      exempt(prefix) || buckets[index].replacementCount(inPrefix: prefix) < limits.prefixPerBucket
    else {
      counters.cachePrefixLimit += 1
      return
    }
    buckets[index].replacements.append(contact)
    counters.cached += 1
    if buckets[index].replacements.count > limits.replacements {
      buckets[index].replacements.removeFirst()
      counters.cacheOverflow += 1
    }
  }

  private mutating func refuse(_ refusal: InsertRefusal) -> InsertOutcome {
    switch refusal {
    case .ownIdentifier: counters.ownIdentifier += 1
    case .conflictingKeyHash: counters.conflictingKeyHash += 1
    case .notDialable: counters.notDialable += 1
    case .bucketPrefixLimit: counters.bucketPrefixLimit += 1
    case .tablePrefixLimit: counters.tablePrefixLimit += 1
    case .tableFull: counters.tableFull += 1
    }
    return .refused(refusal)
  }

  // MARK: Prefixes

  private func exempt(_ address: IPAddress) -> Bool {
    guard limits.allowsLoopback else { return false }
    return address.isLoopback || address == IPAddress.v6(1).limitPrefix
  }

  private func prefixRefusal(_ address: IPAddress, bucket index: Int) -> InsertRefusal? {
    if exempt(address) { return nil }
    let prefix = address.limitPrefix
    if buckets[index].entryCount(inPrefix: prefix) >= limits.prefixPerBucket { return .bucketPrefixLimit }
    if prefixes[prefix, default: 0] >= limits.prefixPerTable { return .tablePrefixLimit }
    return nil
  }

  private mutating func claim(_ address: IPAddress) {
    prefixes[address.limitPrefix, default: 0] += 1
  }

  private mutating func release(_ address: IPAddress) {
    let prefix = address.limitPrefix
    let left = prefixes[prefix, default: 0] - 1
    prefixes[prefix] = left > 0 ? left : nil
  }
}
