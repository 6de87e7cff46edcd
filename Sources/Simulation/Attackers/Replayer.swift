import MeshWire

/// Someone who keeps what passes and sends it again, at once or later, from where it came from or from
/// elsewhere, to where it went or back to its sender.
struct Replayer: Attacker {
  /// Datagrams that he keeps; an old one gives way by chance.
  static let capacity = 400
  /// Sent again every ``World/attackPace``, on average.
  let perAct: Double
  /// Addresses that he pretends to have.
  private let elsewhere: [Endpoint]
  private var kept: [PassingDatagram] = []
  private var seen = 0
  private var chance: Chance

  init(elsewhere: [Endpoint], perAct: Double, chance: Chance) {
    self.elsewhere = elsewhere
    self.perAct = perAct
    self.chance = chance
  }

  mutating func sees(_ passing: PassingDatagram, now: Instant) -> [Forgery] {
    seen += 1
    if kept.count < Self.capacity {
      kept.append(passing)
    } else {
      kept[chance.index(below: Self.capacity)] = passing
    }
    // A copy at once may overtake the original.
    guard chance.happens(0.2) else { return [] }
    return [again(passing, after: chance.duration(upTo: passing.arrivesIn * 2))]
  }

  mutating func acts(now: Instant) -> [Forgery] {
    guard !kept.isEmpty, chance.happens(perAct) else { return [] }
    let passing = chance.pick(kept)
    return [again(passing, after: chance.duration(upTo: .milliseconds(100)))]
  }

  private mutating func again(_ passing: PassingDatagram, after: Duration) -> Forgery {
    switch chance.index(below: 5) {
    case 0:
      return Forgery(
        bytes: passing.bytes, source: chance.pick(elsewhere), destination: passing.destination, after: after)
    case 1:
      return Forgery(
        bytes: passing.bytes, source: passing.destination, destination: passing.source, after: after)
    default:
      return Forgery(
        bytes: passing.bytes, source: passing.source, destination: passing.destination, after: after)
    }
  }
}
