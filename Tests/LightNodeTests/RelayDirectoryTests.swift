import BackboneAPI
import Logging
import MeshCrypto
import MeshWire
import Synchronization
import Testing

@testable import LightNode

@Suite("Relay directory")
struct RelayDirectoryTests {
  private let wall = WallTime(secondsSinceEpoch: 1_000_000)
  private let backbone = ScriptedBackbone()
  private let clock = HandClock()
  private let session: BackboneSession
  private let given = Given()
  private let directory: RelayDirectory

  private final class Given: Sendable {
    let lists = Mutex<[[PeerRecord]]>([])
    let random = Mutex(0.5)
  }

  init() throws {
    let clock = clock
    let wall = wall
    let given = given
    session = BackboneSession(
      url: "https://backbone.example", connection: backbone, identity: try IdentityKey(),
      logger: Logger(label: "test"), wall: { wall }, now: { clock.now })
    directory = RelayDirectory(
      region: try #require(Region("europe")), session: session, logger: Logger(label: "test"),
      now: { clock.now }, random: { given.random.withLock { $0 } },
      give: { list in given.lists.withLock { $0.append(list) } })
  }

  private func record(isRelay: Bool = true, life: Duration = .seconds(3_600)) throws -> PeerRecord {
    let key = try IdentityKey()
    let onionKey = try #require(KeyExchangeOffer([UInt8](repeating: 7, count: KeyExchangeOffer.size)))
    let body = RecordBody(
      serviceType: .lightPublic, keyHash: key.keyHash, sequence: SequenceNumber(1), expiry: wall + life,
      region: try #require(Region("europe")), relayOffer: 10,
      relay: isRelay ? RelayAnnouncement(onionKey: onionKey, week: 1) : nil)
    return try PeerRecord.sign(body, privatePart: nil, with: key)
  }

  private func unverified(_ record: PeerRecord) throws -> UnverifiedPeerRecord {
    try UnverifiedPeerRecord(bundle: record.bundle)
  }

  private var requests: [Int] { backbone.state.withLock { $0.relayRequests } }

  @Test("Only relays whose owners have signed, and each once, reach the node")
  func verified() async throws {
    let good = try record()
    var forged = good.bundle
    forged[20] ^= 1
    let list = try [
      unverified(good), UnverifiedPeerRecord(bundle: forged), unverified(record(isRelay: false)),
      unverified(record(life: .seconds(-1))), unverified(good),
    ]
    backbone.state.withLock { $0.relays = list }
    _ = await session.turn()
    #expect(await directory.turn() == RelayDirectory.renewal)
    #expect(given.lists.withLock { $0 } == [[good]])
    #expect(requests == [RelayDirectory.wanted])
  }

  @Test("It asks when logged in, again when the list is old, and not in between")
  func times() async throws {
    #expect(await directory.turn() == RelayDirectory.renewal)
    #expect(requests.isEmpty)
    _ = await session.turn()
    let list = [try unverified(record())]
    backbone.state.withLock { $0.relays = list }
    #expect(await directory.turn() == RelayDirectory.renewal)
    clock.advance(by: .seconds(4))
    #expect(await directory.turn() == .seconds(6))
    #expect(requests.count == 1)
    clock.advance(by: .seconds(6))
    _ = await directory.turn()
    #expect(requests.count == 2)
  }

  @Test("Nodes that logged in together don't go on asking together")
  func spread() async throws {
    let list = [try unverified(record())]
    backbone.state.withLock { $0.relays = list }
    _ = await session.turn()
    for (random, pause) in [(0.0, 450), (0.5, 600), (0.75, 675)] {
      given.random.withLock { $0 = random }
      #expect(await directory.turn() == .seconds(pause))
      clock.advance(by: .seconds(pause))
    }
  }

  @Test("Without relays it asks again within a minute, and takes nothing away from the node")
  func empty() async throws {
    _ = await session.turn()
    #expect(await directory.turn() == RelayDirectory.retry)
    #expect(given.lists.withLock { $0 }.isEmpty)
  }

  @Test("A refused token leads to one login, and the list comes")
  func refusedToken() async throws {
    let list = [try unverified(record())]
    backbone.state.withLock { $0.relays = list }
    _ = await session.turn()
    backbone.state.withLock { $0.goodToken = "another" }
    #expect(await directory.turn() == RelayDirectory.renewal)
    #expect(backbone.state.withLock { $0.logins } == 2)
  }

  @Test("Each login tells the nodes that the backbone has signed")
  func nodes() async throws {
    let node = BackboneNode(
      region: try #require(Region("europe")), endpoint: try #require(Endpoint("192.0.2.1:8443")),
      keyHash: try IdentityKey().keyHash, stun: Endpoint("192.0.2.1:3478"))
    backbone.state.withLock { $0.nodes = [node] }
    let told = Mutex<[[BackboneNode]]>([])
    await session.notifyNodes { nodes in told.withLock { $0.append(nodes) } }
    _ = await session.turn()
    #expect(told.withLock { $0 } == [[node]])
  }
}
