import MeshWire

/// The checks that may go to addresses which have not answered: others name these, and would have us send
/// wherever they like (protocol.md §6). A level of whole checks, refilled with time.
struct CheckBudget {
  private var used = 0
  private var filledAt: Instant?

  /// Returns whether one more may go, and takes it. `parts`: how many share what may go in all.
  mutating func take(parts: Int = 1, now: Instant) -> Bool {
    let interval = PathLimits.unansweredInterval * parts
    let before = filledAt ?? now
    let gained = max(0, (now - before).wholeNanoseconds / interval.wholeNanoseconds)
    if gained >= Int64(used) {
      used = 0
      filledAt = now
    } else {
      used -= Int(gained)
      filledAt = before + interval * Int(gained)
    }
    guard used < PathLimits.unansweredChecks / parts else { return false }
    used += 1
    return true
  }
}
