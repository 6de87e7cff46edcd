import Foundation
import MeshCrypto
import MeshWire
import Testing

@testable import Backbone

@Suite("Session tokens") struct SessionTokensTests {
  let keys = RegionKeys()
  let now = Fixture.now

  private func tokens(
    _ keys: RegionKeys? = nil, region: Region = Fixture.region, issuer: IdentityKey = Fixture.backboneKey
  ) async -> SessionTokens {
    await SessionTokens(
      region: region, issuer: issuer.keyHash, trustedIssuers: [], keys: keys ?? self.keys)
  }

  private func token(_ tokens: SessionTokens) -> String {
    tokens.issue(
      for: Fixture.alice.keyHash, id: "one", now: now, expiry: now + .seconds(100))
  }

  private func refusal(_ token: String, _ tokens: SessionTokens, at time: WallTime? = nil) async
    -> TokenRefusal?
  {
    do throws(TokenRefusal) {
      _ = try await tokens.verify(token, now: time ?? now)
      return nil
    } catch { return error }
  }

  private func base64URL(_ text: String) -> String {
    Data(text.utf8).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_")
      .replacing("=", with: "")
  }

  @Test func `a token says whose it is until it expires`() async throws {
    let tokens = await tokens()
    let token = token(tokens)
    let session = try await tokens.verify(token, now: now)
    #expect(session.peer == Fixture.alice.keyHash)
    #expect(session.tokenID == "one")
    #expect(await refusal(token, tokens, at: now + .seconds(99)) == nil)
    #expect(await refusal(token, tokens, at: now + .seconds(100)) == .expired)
    #expect(await refusal(token, await self.tokens(), at: now + .seconds(100)) == .expired)
  }

  @Test func `a changed token fails`() async throws {
    let tokens = await tokens()
    let parts = token(tokens).split(separator: ".").map(String.init)
    let claims = try #require(Data(base64Encoded: padded(parts[1])))
    let forged = try #require(String(data: claims, encoding: .utf8))
      .replacing(Fixture.alice.keyHash.description, with: Fixture.bob.keyHash.description)
    #expect(await refusal("\(parts[0]).\(base64URL(forged)).\(parts[2])", tokens) == .badSignature)
    #expect(await refusal("\(parts[0]).\(parts[1]).", tokens) == .badSignature)
    #expect(await refusal("\(parts[0]).\(parts[1])", tokens) == .malformed)
    #expect(await refusal(String(repeating: "a", count: 5_000), tokens) == .malformed)
  }

  @Test func `a token of more than 2048 bytes is not even read`() async throws {
    let tokens = await tokens()
    func issue(_ size: Int) -> String {
      tokens.issue(
        for: Fixture.alice.keyHash, id: String(repeating: "a", count: size), now: now,
        expiry: now + .seconds(100))
    }
    #expect(await refusal(issue(1_000), tokens) == nil)
    #expect(await refusal(issue(2_000), tokens) == .malformed)
  }

  @Test func `no algorithm but HS512 counts, least of all none`() async throws {
    let tokens = await tokens()
    let parts = token(tokens).split(separator: ".").map(String.init)
    let keyID = keys.tokenKeys[0].id
    for algorithm in ["none", "None", "HS256", "ES256", "ML-DSA-87"] {
      let header = base64URL(#"{"alg":"\#(algorithm)","typ":"JWT","kid":"\#(keyID)"}"#)
      #expect(await refusal("\(header).\(parts[1]).", tokens) == .foreignHeader)
      #expect(await refusal("\(header).\(parts[1]).\(parts[2])", tokens) == .foreignHeader)
    }
    let untyped = base64URL(#"{"alg":"HS512","typ":"JOSE","kid":"\#(keyID)"}"#)
    #expect(await refusal("\(untyped).\(parts[1]).\(parts[2])", tokens) == .foreignHeader)
    let critical = base64URL(#"{"alg":"HS512","typ":"JWT","kid":"\#(keyID)","crit":["x"]}"#)
    #expect(await refusal("\(critical).\(parts[1]).\(parts[2])", tokens) == .foreignHeader)
  }

  @Test func `a token of another region, key or issuer fails`() async throws {
    let tokens = await tokens()
    let elsewhere = await self.tokens(region: Fixture.region("asia_pacific"))
    #expect(await refusal(token(elsewhere), tokens) == .foreignRegion)
    #expect(await refusal(token(await self.tokens(RegionKeys())), tokens) == .unknownKey)
    #expect(await refusal(token(await self.tokens(issuer: Fixture.bob)), tokens) == .foreignIssuer)
  }

  @Test func `two keys live through a rotation, and the third ends the first`() async throws {
    let old = token(await tokens())
    let rotated = keys.rotated()
    #expect(await refusal(old, await tokens(rotated)) == nil)
    #expect(await refusal(old, await tokens(rotated.rotated())) == .unknownKey)
    #expect(await refusal(token(await tokens(rotated)), await tokens()) == .unknownKey)
  }

  @Test func `a single token is revoked by its id, all of a peer's by time`() {
    let session = Session(
      peer: Fixture.alice.keyHash, tokenID: "one", issued: now, expiry: now + .seconds(100))
    #expect(!Revocations().revoke(session))
    #expect(Revocations(tokens: ["one"]).revoke(session))
    #expect(Revocations(peers: [session.peer: now + .seconds(1)]).revoke(session))
    #expect(!Revocations(peers: [session.peer: now]).revoke(session))
    #expect(!Revocations(tokens: ["two"], peers: [Fixture.bob.keyHash: now + .seconds(1)]).revoke(session))
  }

  private func padded(_ text: String) -> String {
    let standard = text.replacing("-", with: "+").replacing("_", with: "/")
    return standard + String(repeating: "=", count: (4 - standard.count % 4) % 4)
  }
}
