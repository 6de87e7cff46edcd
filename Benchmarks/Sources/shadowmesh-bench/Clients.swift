import BackboneAPI
import Foundation
import MeshCrypto
import MeshWire

/// Nodes that log in to a running backbone, one after the other over one kept connection.
struct Clients {
  let client: BackboneClient
  let keys: [IdentityKey]
  let region: Region
  let backboneKey: KeyHash
  let origin: Origin

  init(url: String, region: Region, backboneKey: KeyHash, count: Int) throws {
    client = try BackboneClient(
      configuration: BackboneClientConfiguration(
        url: url, region: region, backboneKey: backboneKey, caFile: nil, allowPlainHTTP: false, invite: nil))
    keys = try (0..<count).map { _ in try IdentityKey() }
    self.region = region
    guard let origin = Origin(url: url) else { throw Main.Usage(text: "not a URL: \(url)") }
    self.origin = origin
    self.backboneKey = backboneKey
  }

  private var now: WallTime { WallTime(secondsSinceEpoch: UInt64(Date().timeIntervalSince1970)) }

  /// Logs in `count` times, the keys in turn.
  func logIn(count: Int) async throws {
    for index in 0..<count {
      _ = try await client.logIn(as: keys[index % keys.count], now: now)
    }
  }

  /// The body of a login that answers a challenge (the JSON that the backbone gave).
  func loginBody(for challenge: Substring, index: Int) throws -> [UInt8] {
    let answer = try JSONDecoder().decode(ChallengeAnswer.self, from: Data(challenge.utf8))
    guard let bytes = [UInt8](hex: answer.challenge) else {
      throw Main.Usage(text: "no challenge: \(challenge)")
    }
    let key = keys[index % keys.count]
    let statement = LoginStatement(
      audience: origin, region: region, backbone: backboneKey, challenge: bytes, node: key.keyHash)
    return try VerifyRequest(
      peerID: key.keyHash.peerID, challenge: bytes, signature: try statement.signed(by: key),
      publicKey: key.publicKey.bytes, audience: origin.description, invite: nil
    ).json
  }

  /// A session token for each key.
  func tokens() async throws -> [String] {
    var tokens: [String] = []
    for key in keys { tokens.append(try await client.logIn(as: key, now: now).token) }
    return tokens
  }

  /// Publishes a record for each key.
  func publish() async throws {
    for (index, key) in keys.enumerated() {
      let session = try await client.logIn(as: key, now: now)
      let body = RecordBody(
        serviceType: .lightPublic, keyHash: key.keyHash, sequence: SequenceNumber(1),
        expiry: now + .seconds(3_600), region: region,
        endpoints: [AnnouncedEndpoint(.configured, Endpoint(.v4(0xc612_0001 + UInt32(index)), port: 8_443))])
      try await client.publish(try PeerRecord.sign(body, privatePart: nil, with: key), token: session.token)
    }
  }
}
