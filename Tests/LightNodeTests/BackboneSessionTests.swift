import BackboneAPI
import ControlAPI
import Logging
import MeshCrypto
import MeshNode
import MeshWire
import Synchronization
import Testing

@testable import LightNode

/// A backbone that answers as the test says, and remembers what it was asked.
final class ScriptedBackbone: BackboneConnection {
  struct State {
    var loginFailure: BackboneClientError?
    var goodToken: String?
    var logins = 0
    var published: [UInt64] = []
    var clockOffset = Duration.zero
    var tokenLife = Duration.seconds(1_000)
    var publishFailure: BackboneClientError?
    var nodes: [BackboneNode] = []
    var relays: [UnverifiedPeerRecord] = []
    var relayRequests: [Int] = []
  }
  let state = Mutex(State())

  func logIn(as key: IdentityKey, now: WallTime) async throws -> LoginSession {
    try state.withLock { state in
      if let failure = state.loginFailure { throw failure }
      state.logins += 1
      state.goodToken = "token-\(state.logins)"
      return LoginSession(
        token: "token-\(state.logins)", expires: now + state.tokenLife, nodes: state.nodes,
        clockOffset: state.clockOffset)
    }
  }

  func publish(_ record: PeerRecord, token: String) async throws {
    try state.withLock { state in
      if let failure = state.publishFailure { throw failure }
      guard token == state.goodToken else { throw BackboneClientError.tokenRefused }
      state.published.append(record.body.sequence.value)
    }
  }

  func lookUp(_ peer: PeerID, token: String) async throws -> UnverifiedPeerRecord? {
    try state.withLock { state in
      guard token == state.goodToken else { throw BackboneClientError.tokenRefused }
      return nil
    }
  }

  func relays(near region: Region, limit: Int, token: String) async throws -> [UnverifiedPeerRecord] {
    try state.withLock { state in
      guard token == state.goodToken else { throw BackboneClientError.tokenRefused }
      state.relayRequests.append(limit)
      return state.relays
    }
  }

  func shutdown() async throws {}
}

/// A clock that the test moves.
final class HandClock: Sendable {
  private let state = Mutex(ContinuousClock.now)
  var now: ContinuousClock.Instant { state.withLock { $0 } }
  func advance(by duration: Duration) { state.withLock { $0 += duration } }
}

@Suite("Backbone session")
struct BackboneSessionTests {
  private let key: IdentityKey
  private let backbone = ScriptedBackbone()
  private let clock = HandClock()
  private let session: BackboneSession

  init() throws {
    key = try IdentityKey()
    let clock = clock
    session = BackboneSession(
      url: "https://backbone.example", connection: backbone, identity: key, logger: Logger(label: "test"),
      wall: { WallTime(secondsSinceEpoch: 1_000_000) }, now: { clock.now })
  }

  private func record(_ sequence: UInt64) throws -> PeerRecord {
    let what = OwnRecord(
      region: Region("europe")!, serviceType: .lightPrivate, relayOffer: 0, endpoints: [], admitted: [])
    return try what.signed(
      with: key, sequence: SequenceNumber(sequence), now: WallTime(secondsSinceEpoch: 1_000_000),
      salt: Array(repeating: 0, count: 16))
  }

  @Test func itLogsInAndPublishesOnce() async throws {
    await session.offer(try record(5))
    _ = await session.turn()
    _ = await session.turn()
    #expect(backbone.state.withLock { $0.published } == [5])
    #expect(backbone.state.withLock { $0.logins } == 1)
    #expect(await session.report.state == .loggedIn)
    #expect(await session.hasPublished(SequenceNumber(5)))
  }

  @Test func theTokenIsRenewedBeforeItEnds() async throws {
    let pause = await session.turn()
    #expect(pause > .seconds(400) && pause < .seconds(1_000))
    clock.advance(by: pause)
    _ = await session.turn()
    #expect(backbone.state.withLock { $0.logins } == 2)
  }

  @Test("A refused token leads to a new login, and the record is published with the new token")
  func loginAfter401() async throws {
    await session.offer(try record(5))
    _ = await session.turn()
    backbone.state.withLock { $0.goodToken = "another" }
    await session.offer(try record(6))
    #expect(await session.turn() == .zero)
    _ = await session.turn()
    #expect(backbone.state.withLock { $0.logins } == 2)
    #expect(backbone.state.withLock { $0.published } == [5, 6])
  }

  @Test func aLookUpLogsInAgainAfterARefusedToken() async throws {
    _ = await session.turn()
    backbone.state.withLock { $0.goodToken = "another" }
    guard case .notFound = await session.lookUp(key.keyHash.peerID) else {
      Issue.record("expected an answer after a second login")
      return
    }
    #expect(backbone.state.withLock { $0.logins } == 2)
  }

  @Test func whileTheBackboneIsAwayPausesGrowAndLookUpsSaySo() async throws {
    backbone.state.withLock { $0.loginFailure = .unreachable(url: "x", reason: "no route") }
    var pauses: [Duration] = []
    for _ in 0..<12 {
      let pause = await session.turn()
      pauses.append(pause)
      #expect(await session.turn() == pause, "nothing is tried before the pause is over")
      clock.advance(by: pause)
    }
    #expect(pauses[0] <= .seconds(1))
    #expect(pauses[11] >= .seconds(150) && pauses[11] <= .seconds(300))
    #expect(await session.report.state == .away)
    guard case .unavailable(let reason) = await session.lookUp(key.keyHash.peerID) else {
      Issue.record("expected no answer")
      return
    }
    #expect(reason.contains("no route"))
    backbone.state.withLock { $0.loginFailure = nil }
    _ = await session.turn()
    #expect(await session.report.state == .loggedIn)
  }

  @Test func theBackbonesOwnPauseIsKept() async throws {
    backbone.state.withLock { $0.loginFailure = .busy(retryAfterSeconds: 77) }
    #expect(await session.turn() >= .seconds(77))
  }

  @Test func withoutABackboneLookUpsSaySo() async throws {
    let none = BackboneSession(
      url: nil, connection: nil, identity: key, logger: Logger(label: "test"),
      wall: { WallTime(secondsSinceEpoch: 0) })
    guard case .unavailable = await none.lookUp(key.keyHash.peerID) else {
      Issue.record("expected no answer")
      return
    }
    #expect(await none.report.state == .none)
  }

  @Test func aClockAnHourOffIsNoticed() async throws {
    let told = Mutex(0)
    await session.notifyClockOffset { offset, hasMoved in
      #expect(offset == .seconds(3_600))
      #expect(hasMoved)
      told.withLock { $0 += 1 }
    }
    backbone.state.withLock { $0.clockOffset = .seconds(3_600) }
    _ = await session.turn()
    #expect(await session.clockOffset == .seconds(3_600))
    #expect(told.withLock { $0 } == 1)
    #expect(await session.wallNow == WallTime(secondsSinceEpoch: 1_003_600))
  }

  @Test("A backbone that refuses its own fresh tokens is left alone longer and longer")
  func tokensThatNeverWork() async throws {
    backbone.state.withLock { $0.publishFailure = .tokenRefused }
    await session.offer(try record(5))
    var pauses: [Duration] = []
    for _ in 0..<8 {
      let pause = await session.turn()
      pauses.append(pause)
      clock.advance(by: pause)
    }
    #expect(pauses.allSatisfy { $0 >= .milliseconds(500) })
    #expect(pauses[7] >= .seconds(30))
    #expect(await session.report.state == .away)
  }

  @Test("One publication that failed is not 'away' for the rest of the token's life")
  func awayOnce() async throws {
    backbone.state.withLock { $0.publishFailure = .unreachable(url: "x", reason: "time-out") }
    await session.offer(try record(5))
    let pause = await session.turn()
    #expect(await session.report.state == .away)
    backbone.state.withLock { $0.publishFailure = nil }
    clock.advance(by: pause)
    _ = await session.turn()
    #expect(await session.report.state == .loggedIn)
    #expect(backbone.state.withLock { $0.logins } == 1)
  }

  @Test("Tokens without a life lead to no more than a login in 30 s")
  func deadTokens() async throws {
    backbone.state.withLock { $0.tokenLife = .seconds(-5) }
    #expect(await session.turn() >= .seconds(30))
  }

  @Test("A refused token of many look-ups leads to one login")
  func manyLookUps() async throws {
    await session.offer(try record(5))
    _ = await session.turn()
    backbone.state.withLock { $0.goodToken = "another" }
    let target = key.keyHash.peerID
    await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<16 {
        group.addTask { [session] in
          if case .notFound = await session.lookUp(target) { true } else { false }
        }
      }
      for await isAnswered in group { #expect(isAnswered) }
    }
    #expect(backbone.state.withLock { $0.logins } == 2)
    #expect(await session.report.state == .loggedIn)
  }

  @Test("What the backbone says reaches terminal and log as one plain line of bounded length")
  func printable() {
    let hostile = "no\u{1b}]0;owned\u{7}\nnotice: all is well\u{202e}" + String(repeating: "x", count: 9_000)
    let line = BackboneSession.printable(hostile)
    #expect(!line.unicodeScalars.contains { $0.value < 32 || $0.value == 0x202e })
    #expect(line.count <= 300)
  }
}
