import MeshCrypto
import MeshWire

/// The threads of a host's pool in virtual time: a job occupies one for as long as it really takes.
struct Processor {
  private var freeAt: [Instant]

  init(threads: Int) { freeAt = Array(repeating: Instant(nanoseconds: 0), count: max(1, threads)) }

  /// When a job that comes now is done.
  mutating func run(_ cost: Duration, now: Instant) -> Instant {
    var first = 0
    for thread in freeAt.indices where freeAt[thread] < freeAt[first] { first = thread }
    freeAt[first] = max(now, freeAt[first]) + cost
    return freeAt[first]
  }
}

/// What each asymmetric operation takes, as `make bench` measures it on a server's core.
enum JobCost {
  static func of(_ job: CryptoJob, _ chance: inout Chance) -> Duration {
    switch job {
    case .makeOffer: .microseconds(100)
    case .answer: .microseconds(128)
    case .open: .microseconds(138)
    // Rejection sampling: a geometric number of rounds, 1.02 ms on average and 3.5 ms at the 99th percentile.
    case .sign: .microseconds(260) * rounds(&chance)
    case .verify, .verifyRecord: .microseconds(300)
    }
  }

  private static func rounds(_ chance: inout Chance) -> Int {
    var rounds = 1
    while rounds < 32, chance.happens(0.745) { rounds += 1 }
    return rounds
  }
}
