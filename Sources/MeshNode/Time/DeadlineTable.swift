import MeshWire

/// When each neighbour wants attention, by slot, so that a turn of the loop need not walk them all.
struct DeadlineTable {
  /// Slots that are looked at anew each time, before all of them are noted again.
  static let crowd = 8

  /// Nanoseconds; `.max` for none, and for those in ``touched``.
  private var known: ContiguousArray<UInt64> = []
  /// Slots that packets went through since they were noted.
  private(set) var touched: [Int] = []
  /// Whether anything may have changed, slots themselves included.
  var isStale = true

  var isCrowded: Bool { touched.count > Self.crowd }

  /// The earliest of all that aren't ``touched``.
  var earliestKnown: Instant? {
    var earliest = UInt64.max
    for deadline in known where deadline < earliest { earliest = deadline }
    return earliest == .max ? nil : Instant(nanoseconds: earliest)
  }

  /// A packet went through this slot; allocates nothing.
  mutating func touch(_ slot: Int) {
    guard !isStale, known[slot] != .max || !touched.contains(slot) else { return }
    guard touched.count <= Self.crowd else {
      isStale = true
      return
    }
    known[slot] = .max
    touched.append(slot)
  }

  /// Begins to note the deadlines of `count` slots.
  mutating func restart(count: Int) {
    known.removeAll(keepingCapacity: true)
    known.append(contentsOf: repeatElement(.max, count: count))
    touched.removeAll(keepingCapacity: true)
    isStale = false
  }

  mutating func note(_ deadline: Instant?, _ slot: Int) { known[slot] = deadline?.nanoseconds ?? .max }

  /// All touched slots have been noted again.
  mutating func clearTouched() { touched.removeAll(keepingCapacity: true) }
}
