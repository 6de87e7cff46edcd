import Crypto
import Foundation
public import MeshWire

/// The one line that pairs two nodes: `shadowmesh1:` and base64url (RFC 4648 §5, no padding) of
///
///     KeyHash 32 | secret 32 | expiry 8 | backbone key 1 (0 or 1) [+ 32] | URL length 1 + UTF-8
///     | region length 1 + UTF-8 | endpoint count 1 + 19 each | first 4 bytes of SHA-256 of all before,
///     prefix included
///
/// Whoever holds the line before its expiry can become a peer once, so it goes over a channel the two people
/// trust.
public struct InviteLine: Hashable, Sendable {
  /// The node that invites.
  public var keyHash: KeyHash
  /// 32 random bytes; redeemable once. The inviter keeps only their SHA-256.
  public var secret: [UInt8]
  public var expiry: WallTime
  /// Pins the backbone below; `nil` when the inviter has not pinned it.
  public var backboneKey: KeyHash?
  /// Empty when the inviter uses no backbone.
  public var backboneURL: String
  public var region: String
  /// Where the inviter may be reached now; at most ``maximumEndpoints``.
  public var endpoints: [Endpoint]

  public static let prefix = "shadowmesh1:"
  public static let secretSize = 32
  public static let maximumEndpoints = 8
  /// Most characters of a line.
  public static let maximumLength = 1_200

  /// Why a pasted text is not an invitation.
  public enum Refusal: Error, Hashable, Sendable {
    /// It does not start with `shadowmesh1:`.
    case notAnInvitation
    /// Characters are missing or changed: the checksum does not hold.
    case mistyped
  }

  public init(
    keyHash: KeyHash, secret: [UInt8], expiry: WallTime, backboneKey: KeyHash?, backboneURL: String,
    region: String, endpoints: [Endpoint]
  ) {
    self.keyHash = keyHash
    self.secret = secret
    self.expiry = expiry
    self.backboneKey = backboneKey
    self.backboneURL = backboneURL
    self.region = region
    self.endpoints = Array(endpoints.prefix(Self.maximumEndpoints))
  }

  /// What the inviter stores, and what the session control message is checked against.
  public static func hash(ofSecret secret: [UInt8]) -> [UInt8] { Array(SHA256.hash(data: secret)) }

  /// The line to paste.
  public var text: String {
    var writer = ByteWriter(reserving: 256)
    writer.write(keyHash)
    writer.write(secret)
    writer.write(expiry.secondsSinceEpoch)
    writer.write(UInt8(backboneKey == nil ? 0 : 1))
    if let backboneKey { writer.write(backboneKey) }
    for field in [backboneURL, region] {
      writer.write(UInt8(clamping: field.utf8.count))
      writer.write(field.utf8.prefix(255))
    }
    writer.write(UInt8(endpoints.count))
    for endpoint in endpoints { writer.write(endpoint) }
    let body = writer.bytes
    let base64 = Data(body + Self.checksum(body)).base64EncodedString()
      .replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    return Self.prefix + base64
  }

  /// Reads ``text``; white space around it, and line breaks that a mail program put inside, are dropped.
  public init(_ text: String) throws(Refusal) {
    let line = text.filter { !$0.isWhitespace }
    guard line.hasPrefix(Self.prefix) else { throw .notAnInvitation }
    guard line.utf8.count <= Self.maximumLength else { throw .mistyped }
    var base64 = line.dropFirst(Self.prefix.count).replacing("-", with: "+").replacing("_", with: "/")
    base64 += String(repeating: "=", count: (4 - base64.utf8.count % 4) % 4)
    guard let data = Data(base64Encoded: String(base64)), data.count > 4 else { throw .mistyped }
    let body = Array(data.dropLast(4))
    guard Self.checksum(body) == Array(data.suffix(4)) else { throw .mistyped }
    do {
      self = try Self.parse(ByteReader(body))
    } catch { throw .mistyped }
  }

  private static func parse(_ whole: ByteReader) throws(DecodingFailure) -> InviteLine {
    var reader = whole
    let keyHash = try reader.keyHash()
    let secret = try reader.bytes(secretSize)
    let expiry = WallTime(secondsSinceEpoch: try reader.uint64())
    let backboneKey: KeyHash?
    switch try reader.uint8() {
    case 0: backboneKey = nil
    case 1: backboneKey = try reader.keyHash()
    default: throw .badValue
    }
    var texts: [String] = []
    for _ in 0..<2 {
      let field = try reader.slice(Int(try reader.uint8()))
      guard let text = String(validating: field, as: UTF8.self) else { throw .badValue }
      texts.append(text)
    }
    let count = Int(try reader.uint8())
    guard count <= maximumEndpoints else { throw .tooLarge }
    var endpoints: [Endpoint] = []
    for _ in 0..<count { endpoints.append(try reader.endpoint()) }
    try reader.end()
    return InviteLine(
      keyHash: keyHash, secret: secret, expiry: expiry, backboneKey: backboneKey,
      backboneURL: texts[0], region: texts[1], endpoints: endpoints)
  }

  private static func checksum(_ body: [UInt8]) -> [UInt8] {
    Array(SHA256.hash(data: Array(prefix.utf8) + body).prefix(4))
  }
}
