import BackboneAPI
import MeshCrypto
import MeshWire
import Testing

@testable import Backbone

@Suite("Login rule") struct LoginRuleTests {
  let key = [UInt8](repeating: 7, count: 32)
  let now = Fixture.now

  private func rule(_ admission: Admission = .open) -> LoginRule {
    LoginRule(
      region: Fixture.region, backbone: Fixture.backboneKey.keyHash,
      origins: [Fixture.origin, Fixture.origin("https://backbone.example:8443")], admission: admission,
      challengeKey: key)
  }

  private func challenge(at time: WallTime? = nil, key: [UInt8]? = nil) -> [UInt8] {
    LoginChallenge(
      issuedAt: time ?? now, random: Array(repeating: 5, count: 16), key: key ?? self.key
    ).bytes
  }

  /// A login of Alice's, in which each test spoils one thing.
  private func request(
    signedFor audience: Origin = Fixture.origin, region: Region = Fixture.region,
    backbone: KeyHash = Fixture.backboneKey.keyHash, challenge: [UInt8]? = nil,
    signer: IdentityKey = Fixture.alice, claimed: IdentityKey = Fixture.alice, named: String? = nil,
    context: SignatureContext = .login, invite: String? = nil
  ) throws -> VerifyRequest {
    let challenge = challenge ?? self.challenge()
    let statement = LoginStatement(
      audience: audience, region: region, backbone: backbone, challenge: challenge, node: signer.keyHash)
    return VerifyRequest(
      peerID: claimed.keyHash.peerID, challenge: challenge,
      signature: try signer.sign(statement.bytes, context: context), publicKey: signer.publicKey.bytes,
      audience: named ?? audience.description, invite: invite)
  }

  /// Runs the whole rule with a real signature check.
  private func refusal(
    _ request: VerifyRequest, _ rule: LoginRule? = nil, wasAdmitted: Bool = false, at time: WallTime? = nil
  ) -> LoginRefusal? {
    let rule = rule ?? self.rule()
    do throws(LoginRefusal) {
      let pending = try rule.examine(request, now: time ?? now)
      let holds = pending.statement.isSigned(pending.signature, by: pending.publicKey)
      _ = try rule.decide(pending, LoginRule.Facts(signatureHolds: holds, wasAdmitted: wasAdmitted))
      return nil
    } catch { return error }
  }

  @Test func `a proper login passes, for either origin, named or not`() throws {
    #expect(refusal(try request()) == nil)
    #expect(refusal(try request(signedFor: Fixture.origin("https://backbone.example:8443"))) == nil)
    let unnamed = try request()
    #expect(
      refusal(
        VerifyRequest(
          peerID: unnamed.peerID, challenge: unnamed.challenge, signature: unnamed.signature,
          publicKey: unnamed.publicKey, audience: nil, invite: nil)) == nil)
  }

  @Test func `a statement counts under the key of the node that it names, and under no other`() throws {
    func isSigned(by signer: IdentityKey) throws -> Bool {
      let statement = LoginStatement(
        audience: Fixture.origin, region: Fixture.region, backbone: Fixture.backboneKey.keyHash,
        challenge: challenge(), node: Fixture.alice.keyHash)
      return statement.isSigned(try statement.signed(by: signer), by: signer.publicKey)
    }
    #expect(try isSigned(by: Fixture.alice))
    #expect(try !isSigned(by: Fixture.bob))
  }

  @Test func `a statement signed for another audience fails, whatever the request names`() throws {
    let foreign = Fixture.origin("https://evil.example")
    #expect(refusal(try request(signedFor: foreign)) == .foreignAudience)
    #expect(
      refusal(try request(signedFor: foreign, named: Fixture.origin.description)) == .badSignature)
  }

  @Test func `a statement signed for another region fails`() throws {
    #expect(refusal(try request(region: Fixture.region("asia_pacific"))) == .badSignature)
  }

  @Test func `a statement signed for another backbone's key fails`() throws {
    #expect(refusal(try request(backbone: Fixture.bob.keyHash)) == .badSignature)
  }

  @Test(arguments: SignatureContext.allCases.filter { $0 != .login })
  func `a signature made for another use fails`(context: SignatureContext) throws {
    #expect(refusal(try request(context: context)) == .badSignature)
  }

  @Test func `a challenge with a foreign MAC fails`() throws {
    let foreign = challenge(key: Array(repeating: 8, count: 32))
    #expect(refusal(try request(challenge: foreign)) == .badChallenge)
    for index in [0, 7, 8, 23, 24, 55] {
      var spoiled = challenge()
      spoiled[index] ^= 1
      #expect(refusal(try request(challenge: spoiled)) == .badChallenge)
    }
    #expect(refusal(try request(challenge: Array(challenge().dropLast()))) == .badChallenge)
    #expect(refusal(try request(challenge: [])) == .badChallenge)
  }

  @Test func `a challenge expires after sixty seconds, and one from the future fails`() throws {
    let request = try request()
    #expect(refusal(request, at: now + .seconds(59)) == nil)
    #expect(refusal(request, at: now + .seconds(60)) == .badChallenge)
    #expect(refusal(request, at: now + .seconds(-6)) == .badChallenge)
  }

  @Test func `a PeerID that isn't the key's fails`() throws {
    #expect(refusal(try request(claimed: Fixture.bob)) == .wrongPeerID)
  }

  @Test func `a login under someone else's key fails`() throws {
    let mine = try request(signer: Fixture.alice)
    let stolen = VerifyRequest(
      peerID: Fixture.bob.keyHash.peerID, challenge: mine.challenge, signature: mine.signature,
      publicKey: Fixture.bob.publicKey.bytes, audience: mine.audience, invite: nil)
    #expect(refusal(stolen) == .badSignature)
    #expect(
      refusal(
        VerifyRequest(
          peerID: mine.peerID, challenge: mine.challenge, signature: mine.signature, publicKey: [1, 2],
          audience: mine.audience, invite: nil)) == .badKey)
  }

  @Test func `admission by list takes the listed only`() throws {
    let rule = rule(.list([Fixture.bob.keyHash]))
    #expect(refusal(try request(), rule) == .notAdmitted)
    #expect(refusal(try request(signer: Fixture.bob, claimed: Fixture.bob), rule) == nil)
  }

  @Test func `admission by invite asks for one, once`() throws {
    let rule = rule(.invite)
    #expect(refusal(try request(), rule) == .notAdmitted)
    #expect(refusal(try request(), rule, wasAdmitted: true) == nil)
    let pending = try rule.examine(try request(invite: "secret"), now: now)
    #expect(
      try rule.decide(pending, LoginRule.Facts(signatureHolds: true, wasAdmitted: false))
        == .redeemChallengeAndInvite(secret: "secret"))
  }

  @Test func `an unknown peer and a bad signature look the same from outside`() {
    let problems = Set(LoginRefusal.allCases.filter { $0 != .badChallenge }.map(\.problem))
    #expect(problems.count == 1)
  }
}
