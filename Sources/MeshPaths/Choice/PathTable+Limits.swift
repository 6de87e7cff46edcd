/// Bounds and times of a ``PathTable`` (docs/nat-traversal.md).
public enum PathLimits {
  /// Paths of one peer. Beyond it, one that never carried anything makes room, or the new one is refused.
  public static let paths = 16
  /// Checks of a path that somebody else named, until it answers or is named anew (protocol.md §6 allows
  /// ten).
  public static let tries = 6
  /// Checks of all direct paths of one peer that haven't answered, at once and then one for each interval: a
  /// peer or a backbone may name other addresses again and again. So many for what the peer itself and its
  /// owner name, and as many for what backbones do, in equal parts for each of them.
  public static let unansweredChecks = 256
  public static let unansweredInterval: Duration = .seconds(1)
  /// Backbones that may name paths: as many as a node keeps sessions with.
  public static let backbones = 8
  /// From the first check to the second; doubles.
  static let firstInterval: Duration = .milliseconds(200)
  /// A path that is proven and not in use is asked this often whether it still is; it keeps the NATs'
  /// mappings, too, which live for 30 s at least in most (RFC 4787 §4.3 asks for 120).
  static let standby: Duration = .seconds(25)
  /// Nothing heard on the path in use for so long after something was sent there: it is asked by a check.
  /// TCP repeats after about 0.3, 0.8 and 2 s: what carries again before that costs it the least.
  public static let patience: Duration = .milliseconds(600)
  static let longestPatience: Duration = .milliseconds(2_500)
  /// Packets come on another path and none on that in use for so long: that is in doubt, too.
  static let hint: Duration = .milliseconds(500)
  static let doubtPause: Duration = .seconds(5)
  /// A path that the peer has moved to has so long to carry packets of full size both ways (four checks)
  /// before the others are looked at, and then so long for one of them to answer before it is kept.
  static let proof: Duration = .milliseconds(1_500)
  static let longestProof: Duration = .seconds(3)
  /// While in doubt, every path is checked again after this.
  static let doubtInterval: Duration = .milliseconds(250)
  /// No answer to that for so long: all paths are checked, and the first to answer takes its place.
  static let shortestGrace: Duration = .milliseconds(300)
  static let longestGrace: Duration = .seconds(1)
  /// Checks of one path in one doubt.
  static let triesInDoubt = 10
  /// In one doubt the peer is asked for its candidates at once, and again after these.
  static let asks: [Duration] = [.seconds(1), .seconds(2), .seconds(4)]
  /// A path that doesn't answer is not checked anew sooner, however often it is named.
  static let renaming: Duration = .seconds(2)
  /// Others are asked for their candidates anew while the path in use leads through relays: so long after the
  /// time before, the last again and again. On a lossy path a whole exchange may be lost.
  static let punches: [Duration] = [.seconds(2), .seconds(4), .seconds(8), .seconds(16), .seconds(60)]
  /// A path that failed while in use is not used again for so long; doubles with each failure.
  static let firstHoldDown: Duration = .seconds(5)
  static let longestHoldDown: Duration = .seconds(60)
  /// Of two paths of one kind the other has to be faster by a fifth and by this.
  static let worthwhile: Duration = .milliseconds(5)
}
