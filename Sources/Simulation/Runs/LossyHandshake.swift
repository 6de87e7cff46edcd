import MeshCrypto
import MeshWire

/// How long one handshake takes over a link that loses and delays, from the wish to both ends' being
/// connected.
public struct LossyHandshake: Sendable {
  public let seed: UInt64
  public let loss: Double
  public let roundTrip: Duration
  /// Whether the other end is public, and demands a cookie first.
  public let isPublic: Bool

  public init(
    seed: UInt64, loss: Double = 0.1, roundTrip: Duration = .milliseconds(80), isPublic: Bool = false
  ) {
    self.seed = seed
    self.loss = loss
    self.roundTrip = roundTrip
    self.isPublic = isPublic
  }

  /// `nil` when it didn't come about within a minute.
  public func play() -> (took: Duration?, violation: Violation?) {
    var chance = Chance(seed: seed)
    var world = World(
      seed: chance.next(), usual: LinkQuality(delay: roundTrip / 2, jitter: .milliseconds(4), loss: loss))
    let begin = world.now
    var plans = (1...2).map { number in
      HostPlan(
        identity: .standIn(&chance), endpoint: Endpoint(.v4(0xc612_0001 + UInt32(number) << 8), port: 8_443))
    }
    if isPublic { plans[1].serviceType = .lightPublic }
    let (a, b) = (world.addHost(plans[0]), world.addHost(plans[1]))
    world.add(a, asPeerOf: b, at: [])
    world.add(b, asPeerOf: a, at: [plans[1].endpoint])
    let isDone = world.run(atMost: .seconds(60)) { $0.agree(a, b) }
    return (isDone ? world.now - begin : nil, world.monitor.violation)
  }
}
