import Backbone
import MeshCrypto
import MeshWire
import NIOCore
import Testing

@testable import BackboneAPI

@Suite("Client against a hostile backbone") struct HostileBackboneTests {
  private func logIn(
    at url: String, pinned: KeyHash = Fixture.backboneKey.keyHash, within time: Duration = .seconds(15)
  ) async throws {
    let client = try BackboneClient(
      configuration: BackboneClientConfiguration(url: url, region: Fixture.region, backboneKey: pinned),
      requestTime: time)
    let result: Result<LoginSession, any Error>
    do { result = .success(try await client.logIn(as: Fixture.alice, now: Fixture.now)) } catch {
      result = .failure(error)
    }
    try await client.shutdown()
    _ = try result.get()
  }

  @Test func `an answer that trickles in holds a node no longer than a request may take`() async throws {
    // Whole after half a minute, if anybody waited for it: then it isn't the JSON that was expected.
    let slow = ScriptedBackbone(
      bodies: [Route.challenge.rawValue: Array(repeating: 0x20, count: 300)], pause: .milliseconds(100))
    try await slow.run { url in
      await #expect {
        try await logIn(at: url, within: .milliseconds(300))
      } throws: {
        guard case .unreachable = $0 as? BackboneClientError else { return false }
        return true
      }
    }
  }

  private func list(expiry: WallTime = Fixture.now + .seconds(60)) -> BackboneNodeList {
    BackboneNodeList(
      issuer: Fixture.backboneKey.keyHash, issued: Fixture.now, expiry: expiry,
      nodes: Fixture.settings().nodes)
  }

  private func logIn(with list: BackboneNodeList, signedBy signer: IdentityKey) async throws {
    let nodes = SignedNodes(
      list, signature: try list.signed(by: signer), publicKey: signer.publicKey.bytes)
    try await ScriptedBackbone.logins(with: nodes, now: Fixture.now).run { try await logIn(at: $0) }
  }

  @Test func `a login ends in an error when another key than the pinned one signed the nodes`() async throws {
    try await logIn(with: list(), signedBy: Fixture.backboneKey)
    await #expect(throws: BackboneClientError.wrongBackbone) {
      try await logIn(with: list(), signedBy: Fixture.bob)
    }
  }

  private func refusal(challenge: ChallengeAnswer, padding: Int = 0) async throws -> BackboneClientError? {
    let list = list()
    let nodes = SignedNodes(
      list, signature: try list.signed(by: Fixture.backboneKey),
      publicKey: Fixture.backboneKey.publicKey.bytes)
    var backbone = try ScriptedBackbone.logins(with: nodes, now: Fixture.now)
    backbone.bodies[Route.challenge.rawValue] =
      Array(challenge.json.utf8) + Array(repeating: 0x20, count: padding)
    do {
      try await backbone.run { try await logIn(at: $0) }
      return nil
    } catch let error as BackboneClientError { return error }
  }

  private func challenge(_ size: Int) -> ChallengeAnswer {
    ChallengeAnswer(
      challenge: Array(repeating: 0, count: size), timestamp: Fixture.now,
      expiresAt: Fixture.now + .seconds(60))
  }

  @Test func `no more of an answer is kept than 64 KiB`() async throws {
    #expect(try await refusal(challenge: challenge(32), padding: 60 << 10) == nil)
    #expect(
      try await refusal(challenge: challenge(32), padding: 64 << 10) == .badAnswer("more than 65536 bytes"))
  }

  @Test func `a challenge of more than 128 bytes is not signed`() async throws {
    #expect(try await refusal(challenge: challenge(128)) == nil)
    #expect(try await refusal(challenge: challenge(129)) != nil)
  }

  @Test func `a login ends in an error when the list of nodes has expired`() async throws {
    let old = list(expiry: Fixture.now + .seconds(-7_200))
    await #expect(throws: BackboneClientError.wrongBackbone) {
      try await logIn(with: old, signedBy: Fixture.backboneKey)
    }
  }
}
