import MeshCrypto
import MeshWire

/// One handshake with a script: each datagram's fate is said beforehand, and nothing else goes wrong.
public struct ExhaustiveCase: Sendable {
  /// Who starts, and with whom.
  public enum Scene: String, Sendable, CaseIterable {
    /// One dials a private node.
    case plain
    /// One dials a public node, which demands a cookie.
    case cookie
    /// Both dial at the same moment.
    case simultaneous
  }

  public let scene: Scene
  public let fates: [Int: Fate]

  public init(scene: Scene, fates: [Int: Fate]) {
    self.scene = scene
    self.fates = fates
  }

  /// Positions and fates that are gone through: every pair of any fates among the first `pairs` datagrams,
  /// and every three that are dropped, doubled or held back among the first `triples`.
  public static let pairs = 26
  public static let triples = 16

  /// Every case there is, in order.
  public static var all: [ExhaustiveCase] {
    Scene.allCases.flatMap { scene in
      scripts.map { ExhaustiveCase(scene: scene, fates: $0) }
    }
  }

  private static var scripts: [[Int: Fate]] {
    var scripts: [[Int: Fate]] = [[:]]
    for first in 0..<pairs {
      for fate in Fate.allCases {
        scripts.append([first: fate])
        for second in first + 1..<pairs {
          for other in Fate.allCases { scripts.append([first: fate, second: other]) }
        }
      }
    }
    let gentle: [Fate] = [.drop, .duplicate, .holdBack]
    for first in 0..<triples {
      for second in first + 1..<triples {
        for third in second + 1..<triples {
          for a in gentle {
            for b in gentle {
              for c in gentle { scripts.append([first: a, second: b, third: c]) }
            }
          }
        }
      }
    }
    return scripts
  }

  /// Plays it until both ends agree and have heard each other, or 90 s are over.
  public func play() -> HandshakeCase.Outcome {
    var chance = Chance(seed: 7)
    var world = World(seed: 7, usual: LinkQuality(delay: .milliseconds(20)))
    let begin = world.now
    var plans = (1...2).map { number in
      HostPlan(
        identity: .standIn(&chance), endpoint: Endpoint(.v4(0xc612_0001 + UInt32(number) << 8), port: 8_443))
    }
    if scene == .cookie { plans[1].serviceType = .lightPublic }
    let (a, b) = (world.addHost(plans[0]), world.addHost(plans[1]))
    world.script = Script(fates)
    world.add(a, asPeerOf: b, at: scene == .simultaneous ? [plans[0].endpoint] : [])
    world.add(b, asPeerOf: a, at: [plans[1].endpoint])
    let isConnected = HandshakeCase.converge(&world, a, b)
    world.inspect()
    return HandshakeCase.Outcome(
      violation: world.monitor.violation, isConnected: isConnected, story: story, events: world.eventCount,
      elapsed: world.now - begin, packetsDelivered: world.monitor.deliveredCount)
  }

  private var story: String {
    let parts = fates.keys.sorted().map { "datagram \($0) \(fates[$0].map { "\($0)" } ?? "")" }
    return "\(scene.rawValue): \(parts.isEmpty ? "no fault" : parts.joined(separator: ", "))"
  }
}
