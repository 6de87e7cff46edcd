import MeshCrypto
public import MeshWire

extension Session {
  /// What may be due, in the order in which it fires at one moment.
  enum Timer: CaseIterable {
    case keysEnd
    case oldKeys
    case pieces
    case identity
    case silence
    case rekey
    case repeatedRequest
    case confirmation
    case probe
    case challenge
    case owedAnswer
    case keepalive
  }

  /// When ``advance(to:freshIndex:into:)`` is wanted next; `nil` once expired.
  public var nextDeadline: Instant? {
    guard !isExpired else { return nil }
    var next: Instant?
    for timer in Timer.allCases { next = earlier(next, deadline(of: timer)) }
    return next
  }

  private func deadline(of timer: Timer) -> Instant? {
    // A superseded session, and one whose keys have ended, waits for nothing but its end.
    let isQuiet = isSuperseded || askedForKeys
    switch timer {
    case .oldKeys: return epochs.reduce(nil) { earlier($0, $1.receivesUntil) }
    case .pieces: return pieces.deadline
    default: if isQuiet { return nil }
    }
    switch timer {
    case .keysEnd:
      return epochs[sending].counter >= Limits.refuseAfterPackets
        ? lastSent : epochs[sending].created + Limits.keyLife
    case .identity:
      // The initiator first, so that both don't start at once.
      return askedForIdentity
        ? nil
        : established + Limits.identityLife + (role == .initiator ? .zero : Limits.oldKeyLife)
    case .silence: return !isConfirmed ? nil : unansweredSince.map { $0 + Limits.silence }
    case .rekey:
      guard rekey.isIdle, rekey.nextRequest == nil, !hasNewerKeys, !askedForIdentity else { return nil }
      return epochs[sending].counter >= Limits.rekeyAfterPackets ? lastSent : rekeyDue
    case .repeatedRequest: return rekey.nextRequest
    case .confirmation: return rekey.nextConfirmation
    case .probe: return probe.next
    case .challenge: return roaming.deadline
    case .owedAnswer: return owesAnswerSince.map { $0 + Limits.passiveKeepalive }
    case .keepalive: return lastSent + min(keepalive, Limits.longestKeepalive)
    case .oldKeys, .pieces: return nil
    }
  }

  /// Fires what is due.
  public mutating func advance(
    to now: Instant, freshIndex: () -> UInt32, into actions: inout [SessionAction]
  ) {
    for timer in Timer.allCases {
      guard !isExpired else { return }
      if let due = deadline(of: timer), due <= now { fire(timer, now, &actions) }
    }
  }

  private mutating func fire(_ timer: Timer, _ now: Instant, _ actions: inout [SessionAction]) {
    switch timer {
    case .keysEnd:
      askedForKeys = true
      if let index = rekey.reservedIndex { actions.append(.indexRetired(index)) }
      rekey.stop()
      actions.append(.wantsHandshake(.keysExhausted))
    case .oldKeys: retireKeys(now, &actions)
    case .pieces:
      pieces.expire(now)
      countExpiredPieces()
    case .identity:
      askedForIdentity = true
      actions.append(.wantsHandshake(.identityAge))
    case .silence:
      unansweredSince = nil
      // Whoever is silent says nothing of the path: it is asked when the peer is heard again.
      probe.stop()
      notePath(&actions)
      actions.append(.wantsHandshake(.silence))
    case .rekey: startRekey(now, &actions)
    case .repeatedRequest:
      if rekey.isIdle { rekey.nextRequest = nil } else { repeatRequest(now, &actions) }
    case .confirmation:
      if epochs[sending].isProven { rekey.nextConfirmation = nil } else { confirmNewKeys(now, &actions) }
    case .probe: fireProbe(now, &actions)
    case .challenge: fireChallenge(now, &actions)
    case .owedAnswer, .keepalive: confirm(now: now, into: &actions)
    }
  }

  /// Forgets keys whose time is over; without any, the session is over.
  private mutating func retireKeys(_ now: Instant, _ actions: inout [SessionAction]) {
    let current = epochs[sending].receiveIndex
    for epoch in epochs where epoch.receivesUntil <= now { actions.append(.indexRetired(epoch.receiveIndex)) }
    guard epochs[sending].receivesUntil > now else {
      for epoch in epochs where epoch.receivesUntil > now {
        actions.append(.indexRetired(epoch.receiveIndex))
      }
      if let index = rekey.reservedIndex { actions.append(.indexRetired(index)) }
      rekey.stop()
      isExpired = true
      isSuperseded = true
      actions.append(.expired)
      return
    }
    epochs.removeAll { $0.receivesUntil <= now }
    sending = epochs.firstIndex { $0.receiveIndex == current } ?? 0
  }

  /// Another session with the same peer takes over: this one only receives, for 10 s more, or for as long as
  /// the peer may take to hear of the other one. May be called again when it has.
  public mutating func supersede(by other: Session? = nil, now: Instant) {
    isSuperseded = true
    let isOtherUnconfirmed = other.map { $0.confirmedAt == nil } ?? false
    let life = Limits.oldKeyLife + (isOtherUnconfirmed ? Limits.handshakeLife : .zero)
    roaming.stop()
    for position in epochs.indices {
      epochs[position].receivesUntil = min(epochs[position].receivesUntil, now + life)
    }
  }
}
