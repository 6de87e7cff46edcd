import MeshNode
import MeshWire

/// A large network, all of it awake: what a node costs, and how fast the world goes.
public struct ScaleRun: Sendable {
  public let seed: UInt64
  public let founders: Int

  public init(seed: UInt64, founders: Int = 10_000) {
    self.seed = seed
    self.founders = founders
  }

  /// The network, with every node's table full and a session between each node and the next.
  public struct Running {
    public var world: World
    let hosts: [HostID]
    private var chance: Chance

    init(_ run: ScaleRun) {
      let census = Census(seed: run.seed, founders: run.founders)
      chance = Chance(seed: run.seed).stream(0x7363_616c)
      var world = World(seed: chance.next(), usual: LookupRun.link)
      world.backbone.isReachable = false
      world.backbone.patience = .zero
      world.populate(census)
      let hosts = (0..<run.founders).map { world.host(of: MemberID(number: $0)) }
      for (host, next) in zip(hosts, hosts.dropFirst()) {
        world.add(next, asPeerOf: host, at: [world[next].plan.endpoint])
        world.add(host, asPeerOf: next, at: [world[host].plan.endpoint])
        world.run(.milliseconds(5))
      }
      world.run(.seconds(20))
      self.world = world
      self.hosts = hosts
    }

    /// Sessions that stand, of those that should.
    public var sessions: (standing: Int, wanted: Int) {
      (zip(hosts, hosts.dropFirst()).count { world.agree($0, $1) }, hosts.count - 1)
    }

    /// Lets a second pass, in which ten nodes look somebody up.
    public mutating func runSecond() {
      for _ in 0..<10 {
        let (asker, target) = (chance.pick(hosts), chance.pick(hosts))
        let peerID = world[target].peerID
        _ = world.with(asker) { node, now in node.lookUp(peerID, now: now) }
        world.run(.milliseconds(100))
      }
    }
  }

  /// Brings the network up.
  public func start() -> Running { Running(self) }
}
