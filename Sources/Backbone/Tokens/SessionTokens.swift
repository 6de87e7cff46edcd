import BackboneAPI
import JWTKit
import MeshCrypto
import MeshWire
import Synchronization

/// What a session token says, once it has been verified.
struct Session: Hashable, Sendable {
  let peer: KeyHash
  let tokenID: String
  let issued: WallTime
  let expiry: WallTime
}

/// Why a token is refused. The client is told `token-refused` and no more.
enum TokenRefusal: String, Error, CaseIterable, Sendable {
  case malformed
  /// An algorithm other than HS512, or a header field that we never write.
  case foreignHeader = "foreign_header"
  case unknownKey = "unknown_key"
  case badSignature = "bad_signature"
  case foreignRegion = "foreign_region"
  case foreignIssuer = "foreign_issuer"
  case expired
  case revoked
  /// The list of admitted peers no longer has it.
  case notAdmitted = "not_admitted"
}

/// Issues and verifies session tokens: JWT (RFC 7519), HS512 and nothing else.
final class SessionTokens: Sendable {
  /// The most verified tokens that are remembered, to spare each request the MAC and the JSON.
  static let rememberedTokens = 8_192
  /// A longer token is none of ours.
  static let maximumSize = 2_048

  private struct Claims: JWTPayload {
    let iss: String
    let aud: String
    let sub: String
    let iat: UInt64
    let exp: UInt64
    let jti: String

    /// Times are checked against the clock that the caller passes in.
    func verify(using algorithm: some JWTAlgorithm) {}
  }

  private let region: Region
  private let issuer: KeyHash
  /// The backbones whose tokens count here: all of this region.
  private let trustedIssuers: Set<KeyHash>
  private let signingKey: [UInt8]
  /// The header of every token that is issued here, encoded.
  private let header: [UInt8]
  private let keyIDs: Set<String>
  private let keys: JWTKeyCollection
  /// Verified tokens by their text. Emptied when full; expiry and revocation are checked every time.
  private let verified = Mutex<[String: Session]>([:])

  init(region: Region, issuer: KeyHash, trustedIssuers: Set<KeyHash>, keys: RegionKeys) async {
    self.region = region
    self.issuer = issuer
    self.trustedIssuers = trustedIssuers.union([issuer])
    let collection = JWTKeyCollection()
    for key in keys.tokenKeys {
      await collection.add(
        hmac: HMACKey(from: key.secret), digestAlgorithm: .sha512, kid: JWKIdentifier(string: key.id))
    }
    self.keys = collection
    signingKey = keys.tokenKeys[0].secret
    header = Base64.encodeForURL(
      Array(#"{"alg":"HS512","kid":"\#(keys.tokenKeys[0].id)","typ":"JWT"}"#.utf8))
    keyIDs = Set(keys.tokenKeys.map(\.id))
  }

  /// A new token for a node that has just proved its key. Written out here rather than through the key
  /// collection, an actor: that would be two more hops a login.
  func issue(for peer: KeyHash, id: String, now: WallTime, expiry: WallTime) -> String {
    // None of the values needs an escape: hexadecimal digits, numbers, and the name of a region.
    let claims = """
      {"iss":"\(issuer)","aud":"\(region)","sub":"\(peer)","iat":\(now.secondsSinceEpoch),\
      "exp":\(expiry.secondsSinceEpoch),"jti":"\(id)"}
      """
    let stated = header + [UInt8(ascii: ".")] + Base64.encodeForURL(Array(claims.utf8))
    let code = Base64.encodeForURL(Primitives.hmacSHA512(key: signingKey, stated))
    return String(decoding: stated + [UInt8(ascii: ".")] + code, as: UTF8.self)
  }

  /// The session that a token stands for. Revocation is for the caller to check.
  func verify(_ token: String, now: WallTime) async throws(TokenRefusal) -> Session {
    if let session = try remembered(token, now: now) { return session }
    let session = try await check(token)
    guard now < session.expiry else { throw .expired }
    verified.withLock {
      if $0.count >= Self.rememberedTokens { $0.removeAll(keepingCapacity: true) }
      $0[token] = session
    }
    return session
  }

  /// The same for one that was verified before.
  func remembered(_ token: String, now: WallTime) throws(TokenRefusal) -> Session? {
    guard let session = verified.withLock({ $0[token] }) else { return nil }
    guard now < session.expiry else { throw .expired }
    return session
  }

  private func check(_ token: String) async throws(TokenRefusal) -> Session {
    guard token.utf8.count <= Self.maximumSize else { throw .malformed }
    let parsed: (header: JWTHeader, payload: Claims)
    do {
      let whole = try DefaultJWTParser().parse(Array(token.utf8), as: Claims.self)
      parsed = (whole.header, whole.payload)
    } catch { throw .malformed }
    guard Set(parsed.header.fields.keys) == ["alg", "typ", "kid"], parsed.header.alg == "HS512",
      parsed.header.typ == "JWT"
    else { throw .foreignHeader }
    guard let keyID = parsed.header.kid, keyIDs.contains(keyID) else { throw .unknownKey }
    let claims: Claims
    do {
      claims = try await keys.verify(token, as: Claims.self)
    } catch { throw .badSignature }
    guard claims.aud == region.name else { throw .foreignRegion }
    guard let issuer = KeyHash(hex: claims.iss), trustedIssuers.contains(issuer) else { throw .foreignIssuer }
    guard let peer = KeyHash(hex: claims.sub) else { throw .malformed }
    return Session(
      peer: peer, tokenID: claims.jti, issued: WallTime(secondsSinceEpoch: claims.iat),
      expiry: WallTime(secondsSinceEpoch: claims.exp))
  }
}
