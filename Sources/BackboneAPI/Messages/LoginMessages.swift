import Foundation
public import MeshWire

/// The answer of `GET /api/auth/challenge`.
public struct ChallengeAnswer: Codable, Hashable, Sendable {
  /// Opaque to the client, in hexadecimal digits.
  public let challenge: String
  /// The backbone's clock, in seconds since 1970.
  public let timestamp: UInt64
  /// When the challenge stops being accepted, by the same clock.
  public let expiresAt: UInt64

  enum CodingKeys: String, CodingKey {
    case challenge, timestamp
    case expiresAt = "expires_at"
  }

  public init(challenge: [UInt8], timestamp: WallTime, expiresAt: WallTime) {
    self.challenge = challenge.hex
    self.timestamp = timestamp.secondsSinceEpoch
    self.expiresAt = expiresAt.secondsSinceEpoch
  }

  /// As a body: three fields that need no escapes.
  public var json: String {
    #"{"challenge":"\#(challenge)","timestamp":\#(timestamp),"expires_at":\#(expiresAt)}"#
  }
}

/// The body of `POST /api/auth/verify`. Unknown fields are refused.
public struct VerifyRequest: Encodable, Hashable, Sendable {
  /// The first 20 bytes of the public key's SHA-256, in hexadecimal digits.
  public let peerID: PeerID
  /// The challenge's raw bytes; hexadecimal digits on the wire.
  public let challenge: [UInt8]
  /// 4,627 bytes over the ``LoginStatement``; base64 on the wire.
  public let signature: [UInt8]
  /// 2,592 raw bytes; base64 on the wire.
  public let publicKey: [UInt8]
  /// The ``Origin`` that was signed. Left out, it is the first one that the backbone is configured with.
  public let audience: String?
  /// A one-time secret, for a backbone whose admission is by invite.
  public let invite: String?

  enum CodingKeys: String, CodingKey, CaseIterable {
    case peerID = "peer_id"
    case challenge, signature
    case publicKey = "public_key"
    case audience, invite
  }

  public init(
    peerID: PeerID, challenge: [UInt8], signature: [UInt8], publicKey: [UInt8], audience: String?,
    invite: String?
  ) {
    self.peerID = peerID
    self.challenge = challenge
    self.signature = signature
    self.publicKey = publicKey
    self.audience = audience
    self.invite = invite
  }

  /// Reads a request's body.
  public init(json: [UInt8]) throws(MalformedMessage) {
    let fields = try TextFields<CodingKeys>(json)
    guard let peerID = PeerID(try fields.hexBytes(.peerID, upTo: PeerID.size)) else {
      throw fields.bad(.peerID, "not 40 hexadecimal digits")
    }
    self.peerID = peerID
    challenge = try fields.hexBytes(.challenge, upTo: MessageLimit.challenge)
    signature = try fields.base64Bytes(.signature, upTo: 4_627)
    publicKey = try fields.base64Bytes(.publicKey, upTo: 2_592)
    audience = try fields.text(.audience, upTo: 512)
    invite = try fields.text(.invite, upTo: 128)
  }

  /// As a body.
  public var json: [UInt8] {
    get throws {
      let encoder = JSONEncoder()
      encoder.outputFormatting = .withoutEscapingSlashes
      return [UInt8](try encoder.encode(self))
    }
  }

  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(peerID.description, forKey: .peerID)
    try fields.encode(challenge.hex, forKey: .challenge)
    try fields.encode(Base64.encode(signature), forKey: .signature)
    try fields.encode(Base64.encode(publicKey), forKey: .publicKey)
    try fields.encodeIfPresent(audience, forKey: .audience)
    try fields.encodeIfPresent(invite, forKey: .invite)
  }
}

/// The answer of `POST /api/auth/verify`: in JSON, its fields and those of ``SignedNodes`` side by side.
public struct VerifyAnswer: Codable, Hashable, Sendable {
  /// For `Authorization: Bearer`. Opaque to the client.
  public let sessionToken: String
  /// When the token expires, in seconds since 1970 by the backbone's clock.
  public let expiresAt: UInt64
  public let nodes: SignedNodes

  enum CodingKeys: String, CodingKey {
    case sessionToken = "session_token"
    case expiresAt = "expires_at"
  }

  public init(token: String, expiresAt: WallTime, nodes: SignedNodes) {
    sessionToken = token
    self.expiresAt = expiresAt.secondsSinceEpoch
    self.nodes = nodes
  }

  public init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: CodingKeys.self)
    sessionToken = try fields.text(.sessionToken, upTo: 8_192)
    expiresAt = try fields.decode(UInt64.self, forKey: .expiresAt)
    nodes = try SignedNodes(from: decoder)
  }

  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(sessionToken, forKey: .sessionToken)
    try fields.encode(expiresAt, forKey: .expiresAt)
    try nodes.encode(to: encoder)
  }
}
