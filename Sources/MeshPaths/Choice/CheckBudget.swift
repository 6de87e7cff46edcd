import MeshWire

/// The checks that may go to addresses which have not answered: others name these, and would have us send
/// wherever they like (protocol.md §6). A level of whole checks, refilled with time.
struct CheckBudget {
  private var left = PathLimits.unansweredChecks
  private var filledAt: Instant?

  /// Returns whether one more may go, and takes it.
  mutating func take(now: Instant) -> Bool {
    let before = filledAt ?? now
    let gained = max(0, (now - before).wholeNanoseconds / PathLimits.unansweredInterval.wholeNanoseconds)
    if gained >= Int64(PathLimits.unansweredChecks - left) {
      left = PathLimits.unansweredChecks
      filledAt = now
    } else {
      left += Int(gained)
      filledAt = before + PathLimits.unansweredInterval * Int(gained)
    }
    guard left > 0 else { return false }
    left -= 1
    return true
  }
}
