import Kademlia
import MeshCrypto
import MeshPaths
import MeshSession
public import MeshWire

extension MeshNode {
  /// A control session that nobody used for this long ends.
  static let controlIdleTime: Duration = .seconds(120)

  /// Fires what is due.
  public mutating func advance(to now: Instant, wall: WallTime) {
    readWall(wall, at: now)
    if let deadline = responders.nextDeadline, deadline <= now {
      var actions: [ResponderAction] = []
      responders.advance(to: now, into: &actions)
      perform(actions, now: now)
    }
    if let deadline = neighbourDeadline, deadline <= now {
      let due = neighbours.entries.indices.filter {
        wakeTime(at: $0).map { $0 <= now } ?? false
      }
      .map { neighbours.entries[$0].peerID }
      for peerID in due { advance(peerID, to: now) }
    }
    advanceLookups(to: now)
    advanceDetection(to: now)
    closeIdleStreams(now: now)
    expirePings(now: now)
    requests.expire(now: now)
    if let refresh = table.refreshDeadline, refresh <= now { refreshTable(now: now) }
    if let due = publication.due, due <= now { beginPublication(now: now) }
    makeOnionKeyIfDue()
    if let due = circuitDeadline, due <= now { advanceCircuits(to: now) }
  }

  /// When ``advance(to:wall:)`` is wanted next. Asked at each turn of the loop; allocates nothing while
  /// nothing is looked up.
  public var nextDeadline: Instant? {
    var earliest = responders.nextDeadline
    func consider(_ deadline: Instant?) {
      guard let deadline else { return }
      earliest = min(earliest ?? deadline, deadline)
    }
    consider(lookupDeadline)
    consider(table.refreshDeadline)
    consider(publication.due)
    consider(stun.nextDeadline)
    consider(circuitDeadline)
    consider(streams.deadline)
    consider(neighbourDeadline)
    for ping in pings.waiting { consider(ping.startedAt + PingTable.timeout) }
    return earliest
  }

  /// The earliest deadline of all neighbours. After packets, only those that they went to or came from are
  /// looked at again; after anything else, all.
  var neighbourDeadline: Instant? {
    guard !neighbours.deadlines.isStale else { return walkedDeadline }
    var earliest = neighbours.deadlines.earliestKnown
    for slot in neighbours.deadlines.touched {
      guard let deadline = wakeTime(at: slot) else { continue }
      earliest = min(earliest ?? deadline, deadline)
    }
    return earliest
  }

  /// What ``neighbourDeadline`` must be equal to.
  var walkedDeadline: Instant? {
    var earliest: Instant?
    for slot in neighbours.entriesInPlace.indices {
      guard let deadline = wakeTime(at: slot) else { continue }
      earliest = min(earliest ?? deadline, deadline)
    }
    return earliest
  }

  /// Takes note of every deadline again, if anything was changed since.
  mutating func settleDeadlines() {
    if neighbours.deadlines.isStale {
      neighbours.deadlines.restart(count: neighbours.entries.count)
      for slot in neighbours.entries.indices { noteDeadline(slot) }
    } else if neighbours.deadlines.isCrowded {
      for slot in neighbours.deadlines.touched { noteDeadline(slot) }
      neighbours.deadlines.clearTouched()
    }
  }

  private mutating func noteDeadline(_ slot: Int) {
    neighbours.deadlines.note(wakeTime(at: slot), slot)
  }

  /// Through a span, because an array's element would be copied, sessions and all.
  private func wakeTime(at slot: Int) -> Instant? { deadline(of: neighbours.entriesInPlace.span[slot]) }

  private func deadline(of neighbour: borrowing Neighbour) -> Instant? {
    var earliest: Instant?
    func consider(_ deadline: Instant?) {
      guard let deadline else { return }
      earliest = min(earliest ?? deadline, deadline)
    }
    consider(neighbour.attempt?.initiator.nextDeadline)
    if neighbour.entry != nil { consider(neighbour.attempt?.introductionDue) }
    consider(neighbour.current?.session.nextDeadline)
    if neighbour.current != nil { consider(neighbour.paths.nextDeadline) }
    consider(neighbour.streamWish?.due)
    if neighbour.isBackbone, neighbour.current != nil { consider(neighbour.observeAt) }
    consider(neighbour.previous?.session.nextDeadline)
    if let redeeming = neighbour.redeeming { consider(min(redeeming.next, redeeming.until)) }
    if neighbour.entry != nil {
      if wantsConnection(neighbour) { consider(neighbour.retryAt) }
      if neighbour.current != nil { consider(neighbour.askAgainAt) }
    } else if neighbour.isBackbone {
      if wantsConnection(neighbour) { consider(neighbour.retryAt) }
    } else {
      consider(idleEnd(of: neighbour))
    }
    return earliest
  }

  /// A backbone keeps who keeps in touch, and so do a relay and whoever has a place there: keepalives come
  /// every 25 s.
  private func idleEnd(of neighbour: borrowing Neighbour) -> Instant {
    let used =
      configuration.serviceType == .backbone || neighbour.isKept
      ? neighbour.lastHeard ?? neighbour.lastUsed : neighbour.lastUsed
    return used + Self.controlIdleTime
  }

  private func wantsConnection(_ neighbour: borrowing Neighbour) -> Bool {
    guard neighbour.current == nil, neighbour.attempt == nil, neighbour.lookup == nil else { return false }
    if neighbour.isBackbone { return true }
    return configuration.keepsPeersConnected || !neighbour.queue.isEmpty
  }

  private mutating func advance(_ peerID: PeerID, to now: Instant) {
    if let slot = neighbours.slot(peerID), let at = neighbours.entries[slot].attempt?.initiator.nextDeadline,
      at <= now
    {
      var actions: [HandshakeAction] = []
      neighbours.entries[slot].attempt!.initiator.advance(to: now, into: &actions)
      perform(actions, slot: slot, now: now)
    }
    let index = freshIndex()
    if let slot = neighbours.slot(peerID), let at = neighbours.entries[slot].current?.session.nextDeadline,
      at <= now
    {
      neighbours.entries[slot].current!.session.advance(to: now, freshIndex: { index }, into: &sessionActions)
      performSessionActions(slot, current: true, now)
    }
    if let slot = neighbours.slot(peerID), let at = neighbours.entries[slot].previous?.session.nextDeadline,
      at <= now
    {
      let index = freshIndex()
      neighbours.entries[slot].previous!.session.advance(
        to: now, freshIndex: { index }, into: &sessionActions)
      performSessionActions(slot, current: false, now)
    }
    if let slot = neighbours.slot(peerID) { advancePaths(slot, now: now) }
    guard let slot = neighbours.slot(peerID) else { return }
    introduceIfDue(slot, now: now)
    advanceStream(slot, now: now)
    redeemAgain(slot, now: now)
    if neighbours.entries[slot].isPeer || neighbours.entries[slot].isBackbone {
      reconnect(slot, now: now)
    } else if idleEnd(of: neighbours.entries[slot]) <= now {
      forget(slot)
    }
  }

  private mutating func reconnect(_ slot: Int, now: Instant) {
    let neighbour = neighbours.entries[slot]
    if let at = neighbour.askAgainAt, at <= now, neighbour.isConnected {
      neighbours.entries[slot].askAgainAt = now + Self.askAgain
      sendControl(.ping(requests.anonymous()), slot: slot, now: now)
    }
    if neighbour.isBackbone, let at = neighbour.observeAt, at <= now, neighbour.isConnected {
      observeAgain(slot, now: now)
    }
    if wantsConnection(neighbour), neighbour.retryAt.map({ $0 <= now }) ?? true {
      connect(slot, urgent: false, now: now)
    }
  }
}
