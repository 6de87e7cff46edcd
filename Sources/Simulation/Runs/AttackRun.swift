import MeshCrypto
public import MeshNode
import MeshWire

/// Honest nodes that connect and talk while somebody attacks who sees and sends whatever he likes, and can't
/// keep anything from arriving.
public struct AttackRun: Sendable {
  /// What is tried.
  public enum Attack: String, Sendable, CaseIterable {
    /// Fragments, Acks and cookies of his own making among those of real handshakes.
    case forgery
    /// Whatever was said, said again.
    case replay
    /// Handshakes begun from many real addresses and never ended.
    case hoarding
    /// Little sent in a victim's name, to have much sent to it.
    case amplification
    /// All of it at once.
    case everything
  }

  public let seed: UInt64
  public let attack: Attack

  /// What a pair may take until a packet has passed each way.
  public static let patience = Duration.seconds(10)
  /// How long pairs are waited for.
  static let longestWait = Duration.seconds(40)
  /// How long they talk under attack from then on, one of them moving meanwhile.
  static let talk = Duration.seconds(20)
  /// A hoarder has so long before the first honest node comes.
  static let headStart = Duration.seconds(6)
  /// What half-opens last once nobody feeds them any more.
  static let aftermath = Duration.seconds(40)

  public init(seed: UInt64, attack: Attack) {
    self.seed = seed
    self.attack = attack
  }

  /// One attack after the other, by the number of the case.
  public init(_ number: UInt64) {
    let attacks = Attack.allCases
    self.init(
      seed: number / UInt64(attacks.count), attack: attacks[Int(number % UInt64(attacks.count))])
  }

  /// What was seen.
  public struct Outcome: Sendable {
    public var violation: Violation?
    public var pairs: Int
    /// What each pair took until packets had passed both ways; `nil` if they never did.
    public var took: [Duration?] = []
    /// Packets said once all were connected, and those that came out.
    public var said = 0
    public var heard = 0
    /// Whether all were connected once the attack was over.
    public var isConnected = false
    /// Datagrams of the attackers.
    public var forged = 0
    /// Bytes that came in a victim's name, and that went to it.
    public var received = 0
    public var reflected = 0
    public var mostHalfOpens = 0
    public var halfOpensAfter = 0
    public var story: String

    /// Pairs that were connected within ``AttackRun/patience``.
    public var inTime: Int { took.count { $0.map { $0 <= AttackRun.patience } ?? false } }
  }

  /// A public node, a private one, and those that dial both.
  private struct Party {
    var targets: [HostID] = []
    var dialers: [HostID] = []
    var pairs: [(HostID, HostID)] { dialers.flatMap { dialer in targets.map { (dialer, $0) } } }
  }

  /// Plays it from beginning to end, and tells each event of every node.
  public func play(telling: ((Duration, HostID, NodeEvent) -> Void)? = nil) -> Outcome {
    var chance = Chance(seed: seed)
    let quality = LinkQuality(
      delay: .milliseconds(Int64(5 + chance.index(below: 60))),
      jitter: .milliseconds(Int64(chance.index(below: 30))), loss: [0, 0, 0.02, 0.05][chance.index(below: 4)])
    var world = World(seed: chance.next(), usual: quality)
    let begin = world.now
    if let telling { world.onEvent = { at, id, event in telling(at - begin, id, event) } }
    let party = assemble(&world, &chance)
    var outcome = Outcome(
      pairs: party.pairs.count,
      story: "\(attack.rawValue): delay \(quality.delay), jitter \(quality.jitter), loss \(quality.loss)")
    unleash(&world, party, &chance)
    if attack == .hoarding || attack == .everything { watch(&world, for: Self.headStart, &outcome) }
    connect(&world, party, &outcome)
    converse(&world, party, &outcome, &chance)
    (outcome.received, outcome.reflected) = world.monitor.reflected
    world.dismissAttackers()
    world.heal()
    watch(&world, for: Self.aftermath, &outcome)
    outcome.halfOpensAfter = party.targets.map { world[$0].node.load.halfOpens }.max() ?? 0
    outcome.isConnected = party.pairs.allSatisfy { HandshakeCase.converge(&world, $0.0, $0.1) }
    outcome.forged = world.forgedCount
    outcome.violation = world.monitor.violation
    return outcome
  }

  private func assemble(_ world: inout World, _ chance: inout Chance) -> Party {
    var party = Party()
    for number in 1...5 as ClosedRange<UInt32> {
      var plan = HostPlan(
        identity: .standIn(&chance), endpoint: Endpoint(.v4(0xc612_0001 + number << 8), port: 8_443))
      if number == 1 { plan.serviceType = .lightPublic }
      if number == 5 {
        plan.endpoint = Endpoint(.v4(0x0a00_0002), port: 8_443)
        plan.nats = [world.addNAT(.portRestricted, at: .v4(0xc612_0901))]
      }
      let host = world.addHost(plan)
      if number < 3 { party.targets.append(host) } else { party.dialers.append(host) }
    }
    return party
  }

  /// Sets the attackers on them.
  private func unleash(_ world: inout World, _ party: Party, _ chance: inout Chance) {
    let names = party.targets.map { (world[$0].plan.endpoint, world[$0].keyHash) }
    let victims = (0..<4 as Range<UInt32>).map { Endpoint(.v4(0x2000_0001 + $0 << 8), port: 5_000) }
    for victim in victims { world.declareForged(victim) }
    if attack == .forgery || attack == .everything {
      world.add(
        FragmentForger(
          names: Dictionary(names) { first, _ in first }, probability: 0.5, chance: chance.stream(21)))
    }
    if attack == .replay || attack == .everything {
      world.add(Replayer(elsewhere: victims, perAct: 0.5, chance: chance.stream(22)))
    }
    if attack == .hoarding || attack == .everything {
      for (number, name) in names.enumerated() {
        // More than there are places, from more networks than it takes to fill them.
        world.add(
          Hoarder(
            target: name.1, endpoint: name.0, prefixes: 24, perPrefix: 64, perAct: 8,
            chance: chance.stream(UInt64(23 + number))))
      }
    }
    if attack == .amplification || attack == .everything {
      let own = Endpoint(.v4(0x2100_0001), port: 5_000)
      world.add(Amplifier(victims: victims, own: own, names: names, chance: chance.stream(29)))
    }
  }

  private func watch(_ world: inout World, for length: Duration, _ outcome: inout Outcome) {
    let end = world.now + length
    while world.now < end, world.monitor.violation == nil {
      world.run(until: min(end, world.now + .milliseconds(250)))
      look(&world, &outcome)
    }
  }

  private func look(_ world: inout World, _ outcome: inout Outcome) {
    world.inspect()
    let halfOpens = world.hosts.map { $0.node.load.halfOpens }.max() ?? 0
    outcome.mostHalfOpens = max(outcome.mostHalfOpens, halfOpens)
  }

  /// The honest come, and talk to each other until they are heard.
  private func connect(_ world: inout World, _ party: Party, _ outcome: inout Outcome) {
    for (dialer, target) in party.pairs {
      world.add(dialer, asPeerOf: target, at: [])
      world.add(target, asPeerOf: dialer, at: [world[target].plan.endpoint])
    }
    let begin = world.now
    var numbers = party.pairs.map { _ in (there: [UInt64](), back: [UInt64]()) }
    outcome.took = party.pairs.map { _ in nil }
    while world.now < begin + Self.longestWait, world.monitor.violation == nil,
      outcome.took.contains(where: { $0 == nil })
    {
      for (index, (dialer, target)) in party.pairs.enumerated() where outcome.took[index] == nil {
        numbers[index].there.append(world.say(100, from: dialer, to: target))
        numbers[index].back.append(world.say(100, from: target, to: dialer))
      }
      watch(&world, for: .milliseconds(500), &outcome)
      for index in party.pairs.indices where outcome.took[index] == nil {
        guard numbers[index].there.contains(where: { world.hasArrived($0) }),
          numbers[index].back.contains(where: { world.hasArrived($0) })
        else { continue }
        outcome.took[index] = world.now - begin
      }
    }
  }

  /// They go on under attack; halfway the first of those that dial is somewhere else.
  private func converse(
    _ world: inout World, _ party: Party, _ outcome: inout Outcome, _ chance: inout Chance
  ) {
    let half = world.now + Self.talk / 2
    let end = world.now + Self.talk
    var hasMoved = false
    var said: [UInt64] = []
    while world.now < end, world.monitor.violation == nil {
      if !hasMoved, world.now >= half {
        hasMoved = true
        world.move(party.dialers[0], to: Endpoint(.v4(0xc612_2001), port: 8_443))
      }
      for (dialer, target) in party.pairs where !hasMoved || dialer != party.dialers[0] {
        said.append(world.say(chance.index(below: 1_300), from: dialer, to: target))
        said.append(world.say(chance.index(below: 1_300), from: target, to: dialer))
      }
      if hasMoved { for target in party.targets { world.say(100, from: party.dialers[0], to: target) } }
      watch(&world, for: .milliseconds(500), &outcome)
    }
    watch(&world, for: .seconds(1), &outcome)
    outcome.said = said.count
    outcome.heard = said.count { world.hasArrived($0) }
  }
}
