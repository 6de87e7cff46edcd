public import ControlAPI
import Foundation
public import MeshWire

/// Invitations that wait to be redeemed. Holds hashes of secrets only: reading the file lets no one in.
public struct InviteLedger: Hashable, Sendable {
  /// Most open invitations.
  public static let maximumInvites = 64

  /// One open invitation.
  public struct Entry: Hashable, Sendable, Codable {
    /// SHA-256 of the secret, lowercase hexadecimal.
    public var secretHash: String
    /// What the peer will be called here; `nil`: made from its PeerID.
    public var name: PeerName?
    /// What the peer may open here.
    public var allow: [PortRule]
    /// Seconds since 1970.
    public var expires: UInt64
  }

  public private(set) var entries: [Entry] = []

  public init() {}

  /// Adds an invitation; `false` when ``maximumInvites`` are open. Expired ones go, but only where their room
  /// is needed: before the first login the clock may be wrong by hours.
  public mutating func add(_ entry: Entry, now: WallTime) -> Bool {
    if entries.count >= Self.maximumInvites { entries.removeAll { $0.expires <= now.secondsSinceEpoch } }
    guard entries.count < Self.maximumInvites else { return false }
    entries.append(entry)
    return true
  }

  /// Takes out the invitation of this secret: a second call finds nothing. `nil` when there is none, or it
  /// expired.
  public mutating func redeem(secretHash: [UInt8], now: WallTime) -> Entry? {
    guard let index = entries.firstIndex(where: { $0.secretHash == secretHash.hex }) else { return nil }
    let entry = entries.remove(at: index)
    return entry.expires > now.secondsSinceEpoch ? entry : nil
  }

  private struct Stored: Codable {
    var version: Int
    var invites: [Entry]
  }

  func encoded() throws -> [UInt8] {
    Array(try ControlLine.encoder(pretty: true).encode(Stored(version: 1, invites: entries)))
  }

  init(encoded: [UInt8]) throws {
    let stored = try JSONDecoder.stateFile.decode(Stored.self, from: Data(encoded))
    guard stored.version == 1 else { throw PeerBook.Unreadable(reason: "it has version \(stored.version)") }
    guard stored.invites.count <= Self.maximumInvites else {
      throw PeerBook.Unreadable(reason: "it holds more than \(Self.maximumInvites) invitations")
    }
    entries = stored.invites
  }
}
