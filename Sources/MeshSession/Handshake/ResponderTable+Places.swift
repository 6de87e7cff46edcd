import MeshWire

/// Who gets a place among the half-opens, and who gives way (SMH1.md §7).
extension ResponderTable {
  /// A place for a newcomer, if the bounds leave one or another gives way.
  mutating func open(
    _ origin: HalfOpen.Origin, fragments: Int, _ now: Instant, _ actions: inout [ResponderAction]
  ) -> HalfOpenID? {
    let prefix = origin.source.address.limitPrefix
    let ofPrefix = perPrefix[prefix, default: 0]
    if ofPrefix >= limits.halfOpensPerPrefix {
      guard let id = givesWay(where: { $0 == prefix }) else {
        drop(.prefixFull, &actions)
        return nil
      }
      end(id, .prefixFull, &actions)
    } else if halfOpens.count >= limits.halfOpens {
      // A network with few makes room for nobody who has as many.
      let most = perPrefix.values.max() ?? 0
      guard most > ofPrefix, let id = givesWay(where: { perPrefix[$0] == most }) else {
        drop(.halfOpensFull, &actions)
        return nil
      }
      end(id, .halfOpensFull, &actions)
    }
    let id = HalfOpenID(number: nextNumber)
    nextNumber += 1
    halfOpens[id] = HalfOpen(origin, fragments: fragments, jitterSeed: draw(), now: now)
    byOrigin[origin, default: []].append(id)
    perPrefix[prefix, default: 0] += 1
    return id
  }

  /// Of the half-opens of some networks the one that has come the least far, and of those the oldest: an
  /// honest one needs a round trip or two, and who only hoards is overtaken.
  private func givesWay(where isOfThese: (IPAddress) -> Bool) -> HalfOpenID? {
    halfOpens.filter { isOfThese($0.value.origin.source.address.limitPrefix) }
      .min { ($0.value.standing, $0.key) < ($1.value.standing, $1.key) }?.key
  }

  /// The half-opens that a fragment of M1 may belong to, a new one if it contradicts those there are.
  ///
  /// Anyone who sees a fragment can forge another for the same id. Whichever came first, the true one finds a
  /// place beside it, a few times.
  mutating func claimants(
    _ m1: M1Datagram, _ fragment: [UInt8], _ origin: HalfOpen.Origin, _ now: Instant,
    _ actions: inout [ResponderAction]
  ) -> [HalfOpenID] {
    let known = byOrigin[origin] ?? []
    let fitting = known.filter { halfOpens[$0]?.fits(fragment, at: m1.index, of: m1.count) ?? false }
    guard fitting.isEmpty else { return fitting }
    guard known.count < Limits.claimsPerOrigin, !known.contains(where: { halfOpens[$0]?.isNamed ?? false })
    else {
      drop(.conflicting, &actions)
      return []
    }
    return open(origin, fragments: m1.count, now, &actions).map { [$0] } ?? []
  }

  /// When half-opens contradict each other: the one whose M1 names itself, put together from what they hold.
  /// The others end.
  mutating func unite(
    _ origin: HalfOpen.Origin, _ m1: M1Datagram, _ now: Instant, _ actions: inout [ResponderAction]
  ) -> HalfOpenID? {
    let ids = byOrigin[origin] ?? []
    let claims = ids.compactMap { halfOpens[$0] }
    guard claims.count > 1, !claims.contains(where: \.isNamed) else { return nil }
    let fitting = claims.filter { $0.m1.count == m1.count }
    for first in fitting.compactMap({ $0.m1.parts[0] }) {
      for second in fitting.compactMap({ $0.m1.parts[1] }) {
        let body = Array((first + second)[..<Layout.m1BodySize])
        guard KeySchedule.initiatorID(of: body) == origin.initiator else { continue }
        var budget = AmplificationBudget()
        for claim in claims { budget.add(claim.budget) }
        for id in ids { end(id, .conflicting, &actions) }
        guard let id = open(origin, fragments: m1.count, now, &actions) else { return nil }
        halfOpens[id]?.name(parts: [first, second], budget: budget, now: now)
        note(halfOpens[id]?.deadline)
        return id
      }
    }
    return nil
  }
}

extension HalfOpen {
  /// Takes over what others held.
  fileprivate mutating func name(parts: [[UInt8]], budget: AmplificationBudget, now: Instant) {
    for (index, part) in parts.enumerated() { m1.put(part, at: index) }
    // The third is padding.
    if m1.count == 3 { m1.put([UInt8](repeating: 0, count: Layout.m1FragmentSize), at: 2) }
    self.budget = budget
    progress(now: now)
    isNamed = true
  }

  /// How far it has come: 0 when its address may be forged, 1 when it is not, 2 when its initiator has done
  /// work of its own.
  fileprivate var standing: Int {
    if m3 != nil { return 2 }
    return budget.isValidated ? 1 : 0
  }

  /// Whether a fragment of M1 contradicts nothing that is held.
  fileprivate func fits(_ fragment: [UInt8], at index: Int, of count: Int) -> Bool {
    m1.count == count && (m1.parts[index].map { $0 == fragment } ?? true)
  }
}
