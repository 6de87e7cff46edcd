import AsyncHTTPClient
import Backbone
import BackboneAPI
import Foundation
import Logging
import MeshCrypto
import MeshWire
import NIOCore
import NIOHTTP1
import NIOPosix
import Observability
import ServiceLifecycle
import Synchronization

/// A clock that only tests move.
final class TestClock: Sendable {
  private let seconds = Mutex(Fixture.now.secondsSinceEpoch)

  var now: WallTime { WallTime(secondsSinceEpoch: seconds.withLock { $0 }) }

  func advance(by amount: UInt64) { seconds.withLock { $0 += amount } }

  var clock: BackboneClock {
    BackboneClock(
      wall: { self.now },
      monotonic: { MeshWire.Instant(nanoseconds: self.now.secondsSinceEpoch * 1_000_000_000) })
  }
}

/// What came back, read whole.
struct Answer {
  let status: Int
  let headers: HTTPHeaders
  let body: Data

  var problem: Problem? {
    headers.first(name: "content-type") == Problem.contentType
      ? try? JSONDecoder().decode(Problem.self, from: body) : nil
  }

  func decoded<Message: Decodable>(_ type: Message.Type) throws -> Message {
    try JSONDecoder().decode(type, from: body)
  }
}

/// A real backbone: HTTP on a loopback port, a SQLite file, and a clock of its own.
struct RunningBackbone {
  let origin: Origin
  let clock: TestClock
  let store: SQLiteStore

  var configuration: BackboneClientConfiguration { configuration() }

  func configuration(
    region: Region = Fixture.region, backboneKey: KeyHash? = Fixture.backboneKey.keyHash,
    invite: String? = nil
  ) -> BackboneClientConfiguration {
    BackboneClientConfiguration(
      url: origin.description, region: region, backboneKey: backboneKey, invite: invite)
  }

  /// Runs `body` with a client, and closes it.
  @discardableResult
  func withClient<Value>(
    _ configuration: BackboneClientConfiguration? = nil, _ body: (BackboneClient) async throws -> Value
  ) async throws -> Value {
    let client = try BackboneClient(configuration: configuration ?? self.configuration)
    let result: Result<Value, any Error>
    do { result = .success(try await body(client)) } catch { result = .failure(error) }
    try await client.shutdown()
    return try result.get()
  }

  /// One request as it is, without a client's help.
  func send(
    _ method: HTTPMethod, _ path: String, headers: [(String, String)] = [], body: [UInt8]? = nil,
    isChunked: Bool = false
  ) async throws -> Answer {
    var request = HTTPClientRequest(url: origin.description + path)
    request.method = method
    for (name, value) in headers { request.headers.add(name: name, value: value) }
    if let body { request.body = .bytes(body, length: isChunked ? .unknown : .known(Int64(body.count))) }
    let response = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
    let content = try await response.body.collect(upTo: 1 << 20)
    return Answer(
      status: Int(response.status.code), headers: response.headers, body: Data(content.readableBytesView))
  }

  /// A login request that is good, with a fresh challenge.
  func loginRequest(as key: IdentityKey = Fixture.alice) async throws -> [UInt8] {
    let challenge = try await send(.GET, Route.challenge.rawValue).decoded(ChallengeAnswer.self)
    let bytes = [UInt8](hex: challenge.challenge) ?? []
    let statement = LoginStatement(
      audience: origin, region: Fixture.region, backbone: Fixture.backboneKey.keyHash, challenge: bytes,
      node: key.keyHash)
    let request = VerifyRequest(
      peerID: key.keyHash.peerID, challenge: bytes, signature: try statement.signed(by: key),
      publicKey: key.publicKey.bytes, audience: origin.description, invite: nil)
    return try request.json
  }

  func logIn(_ body: [UInt8]) async throws -> Answer {
    try await send(.POST, Route.verify.rawValue, headers: [("content-type", "application/json")], body: body)
  }

  /// A token, by way of the client.
  func token(of key: IdentityKey) async throws -> String {
    try await withClient { try await $0.logIn(as: key, now: clock.now).token }
  }
}

/// Starts a backbone, runs `body` against it, and stops it cleanly.
func withBackbone(
  admission: Admission = .open, limits: BackboneSettings.Limits = BackboneSettings.Limits(),
  tls: BackboneService.TLSFiles? = nil, _ body: (RunningBackbone) async throws -> Void
) async throws {
  try await Fixture.withDirectory { directory in
    let origin = Fixture.origin("\(tls == nil ? "http" : "https")://127.0.0.1:\(try await freePort())")
    let clock = TestClock()
    let store = try SQLiteStore(file: directory + "/registry.sqlite")
    let (ports, listening) = AsyncStream<Int>.makeStream()
    var logger = Logger(label: "backbone-tests")
    logger.logLevel = .critical
    let service = try await BackboneService(
      settings: Fixture.settings(origin: origin, admission: admission, limits: limits),
      identity: Fixture.backboneKey, keys: RegionKeys(), store: store,
      listeners: [BackboneService.Listener(host: "127.0.0.1", port: origin.port, tls: tls)],
      prometheus: PrometheusRegistry(), clock: clock.clock, logger: logger,
      onListening: { listening.yield($0) })
    let group = ServiceGroup(configuration: .init(services: [service], logger: logger))
    let running = RunningBackbone(origin: origin, clock: clock, store: store)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask {
        defer { listening.finish() }
        try await group.run()
      }
      var result = Result<Void, any Error>.success(())
      for await _ in ports {
        do { try await body(running) } catch { result = .failure(error) }
        break
      }
      await group.triggerGracefulShutdown()
      try await tasks.waitForAll()
      try result.get()
    }
  }
}

/// The next port to try: below those that the system gives out by itself (32,768 and up), so that no client's
/// socket takes it meanwhile, and each for one test of this process only.
private let nextPort = Atomic<Int>(20_000 + Int(ProcessInfo.processInfo.processIdentifier) % 8_000)

/// A port that nobody listened on a moment ago.
func freePort() async throws -> Int {
  while true {
    let port = nextPort.wrappingAdd(1, ordering: .relaxed).oldValue
    let bound = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton).bind(
      host: "127.0.0.1", port: port)
    guard let channel = try? await bound.get() else { continue }
    try await channel.close()
    return port
  }
}
