import MeshCrypto
import MeshNode
import MeshWire

/// A node under a flood of first messages from forged addresses, ten times what it could sign, and honest
/// nodes that want to connect all the same.
public struct FloodRun: Sendable {
  public let seed: UInt64
  /// Whether the node is public; a private one demands cookies only under load.
  public let isPublic: Bool
  public let honest: Int
  public let length: Duration

  /// Signatures that two threads make in a second: 1.02 ms each.
  public static let signingCapacity = 1_960
  /// How many times that comes in.
  public static let factor = 10
  /// What an honest node may wait.
  public static let patience = Duration.seconds(2)

  public init(seed: UInt64, isPublic: Bool, honest: Int = 100, length: Duration = .seconds(10)) {
    self.seed = seed
    self.isPublic = isPublic
    self.honest = honest
    self.length = length
  }

  /// What was seen.
  public struct Outcome: Sendable {
    public var violation: Violation?
    public var floodMessages: Int
    /// Honest handshakes, and those of them within ``patience``.
    public var attempted: Int
    public var inTime: Int
    public var received: Int
    public var reflected: Int
    public var mostHalfOpens: Int
    /// Half-opens in the middle and at the end, to see whether the memory grows.
    public var halfOpensMidway: Int
    public var halfOpensLast: Int
  }

  /// Plays it.
  public func play() -> Outcome {
    var chance = Chance(seed: seed)
    var world = World(seed: chance.next(), usual: LinkQuality(delay: .milliseconds(20)))
    let begin = world.now
    let end = begin + length
    var plan = HostPlan(identity: .standIn(&chance), endpoint: Endpoint(.v4(0xc612_0001), port: 8_443))
    plan.serviceType = isPublic ? .lightPublic : .lightPrivate
    let target = world.addHost(plan)
    // A public node demands cookies from the first moment on, and until the first honest one comes nobody can
    // have any.
    world.setHearsNobodyHonest(isPublic, target)
    var flood = M1Flood(target: world[target].keyHash, endpoint: plan.endpoint, chance: chance.stream(9))
    let gap = Duration.seconds(1) / (Self.signingCapacity * Self.factor)
    var outcome = Outcome(
      violation: nil, floodMessages: 0, attempted: 0, inTime: 0, received: 0, reflected: 0, mostHalfOpens: 0,
      halfOpensMidway: 0, halfOpensLast: 0)
    var waiting: [(host: HostID, since: Instant)] = []
    let honestGap = length / (honest + 10)
    var nextHonest = begin + honestGap * 5
    while world.now < end, world.monitor.violation == nil {
      let (source, datagrams) = flood.next(now: world.now)
      world.declareForged(source)
      for datagram in datagrams { world.inject(datagram, pretending: source, to: plan.endpoint) }
      outcome.floodMessages += 1
      if world.now >= nextHonest, outcome.attempted < honest {
        nextHonest = nextHonest + honestGap
        world.setHearsNobodyHonest(false, target)
        waiting.append((join(&world, target, outcome.attempted, &chance), world.now))
        outcome.attempted += 1
      }
      world.run(gap)
      if outcome.floodMessages % 100 == 0 { look(&world, target, &waiting, &outcome) }
      if outcome.halfOpensMidway == 0, world.now >= begin + length / 2 {
        outcome.halfOpensMidway = world[target].node.load.halfOpens
      }
    }
    outcome.halfOpensLast = world[target].node.load.halfOpens
    for _ in 0..<Int(Self.patience / .milliseconds(10)) {
      world.run(.milliseconds(10))
      look(&world, target, &waiting, &outcome)
    }
    (outcome.received, outcome.reflected) = world.monitor.reflected
    outcome.violation = world.monitor.violation
    return outcome
  }

  /// An honest node of a network of its own comes up and dials.
  private func join(_ world: inout World, _ target: HostID, _ number: Int, _ chance: inout Chance) -> HostID {
    let endpoint = Endpoint(.v4(0xc000_0001 + UInt32(number) << 8), port: 8_443)
    let host = world.addHost(HostPlan(identity: .standIn(&chance), endpoint: endpoint))
    world.add(host, asPeerOf: target, at: [])
    world.add(target, asPeerOf: host, at: [world[target].plan.endpoint])
    return host
  }

  private func look(
    _ world: inout World, _ target: HostID, _ waiting: inout [(host: HostID, since: Instant)],
    _ outcome: inout Outcome
  ) {
    world.inspect()
    outcome.mostHalfOpens = max(outcome.mostHalfOpens, world[target].node.load.halfOpens)
    waiting.removeAll { host, since in
      guard world.agree(host, target) else { return world.now - since > Self.patience }
      if world.now - since <= Self.patience { outcome.inTime += 1 }
      return true
    }
  }
}
