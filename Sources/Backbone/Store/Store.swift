public import MeshCrypto
public import MeshWire

/// A record as a store keeps it.
public struct StoredRecord: Hashable, Sendable {
  public let keyHash: KeyHash
  public let sequence: SequenceNumber
  public let expiry: WallTime
  public let isTombstone: Bool
  /// SHA-256 of the signed body.
  public let bodyDigest: [UInt8]
  /// The bundle without the private part; empty when the record has expired and only its place is kept.
  public let publicBundle: [UInt8]
  /// The encoded private part; `nil` when there is none.
  public let privatePart: [UInt8]?
  /// The region of a relay; `nil` for a node that is none, or doesn't say how it is used.
  public let relayRegion: Region?

  /// A verified record, ready to be kept.
  public init(_ record: PeerRecord) {
    let publicBundle = record.withoutPrivatePart.bundle
    keyHash = record.keyHash
    sequence = record.body.sequence
    expiry = record.body.expiry
    isTombstone = record.isTombstone
    bodyDigest = record.bodyDigest
    self.publicBundle = publicBundle
    privatePart = record.privatePart == nil ? nil : Array(record.bundle[publicBundle.count...])
    relayRegion = record.body.relay == nil ? nil : record.body.region
  }

  init(
    keyHash: KeyHash, sequence: SequenceNumber, expiry: WallTime, isTombstone: Bool, bodyDigest: [UInt8],
    publicBundle: [UInt8], privatePart: [UInt8]?, relayRegion: Region?
  ) {
    self.keyHash = keyHash
    self.sequence = sequence
    self.expiry = expiry
    self.isTombstone = isTombstone
    self.bodyDigest = bodyDigest
    self.publicBundle = publicBundle
    self.privatePart = privatePart
    self.relayRegion = relayRegion
  }

  var summary: RecordSummary {
    RecordSummary(
      keyHash: keyHash, sequence: sequence, bodyDigest: bodyDigest, hasPrivatePart: privatePart != nil)
  }

  /// The bundle as `asker` may see it: whole for the owner and those whom the owner admitted, else without
  /// the private part.
  func bundle(for asker: KeyHash) -> [UInt8] {
    guard let privatePart, asker == keyHash || admits(asker, privatePart) else { return publicBundle }
    var writer = ByteWriter(reserving: publicBundle.count + privatePart.count)
    writer.write(publicBundle.dropLast(2))
    writer.write(UInt16(privatePart.count))
    writer.write(privatePart)
    return writer.bytes
  }

  /// A part that doesn't parse admits nobody.
  private func admits(_ asker: KeyHash, _ privatePart: [UInt8]) -> Bool {
    (try? RecordPrivatePart(decoding: privatePart[...]))?.admits(asker) ?? false
  }
}

/// What came of storing a record.
public enum Storing: Hashable, Sendable {
  case stored
  /// Another record stands under its PeerID than the one that was seen.
  case changed
  /// Its network has as many records as one may have.
  case networkFull
}

/// What came of redeeming a challenge.
public enum Redemption: Hashable, Sendable {
  case redeemed
  case challengeUsed
  case inviteRefused
}

/// An invite brought to a login: admits the node once its secret is found, unused and in time.
public struct InviteUse: Hashable, Sendable {
  public let secretHash: [UInt8]
  public let node: KeyHash
}

/// Why a store could not do what it was asked. The text is for the operator.
public enum StoreFailure: Error, Hashable, Sendable, CustomStringConvertible {
  case diskFull(String)
  case damaged(String)
  case unavailable(String)
  /// A table has reached its bound.
  case full(table: String, bound: Int)

  public var description: String {
    switch self {
    case .diskFull(let file): "no space left for \(file): free some, nothing that was stored is lost"
    case .damaged(let what): "\(what) is damaged or not a database: restore it from a backup or move it away"
    case .unavailable(let reason): reason
    case .full(let table, let bound): "the table of \(table) has reached its bound of \(bound)"
    }
  }
}

/// What a backbone keeps. Small on purpose: SQLite satisfies it here, PostgreSQL and Redis can too.
///
/// Every method throws ``StoreFailure``. Every table is bounded.
public protocol Store: Sendable {
  /// Redeems a challenge, and with it an invite if there is one: all in one atomic step, and only once.
  func redeem(challenge: [UInt8], expiry: WallTime, invite: InviteUse?, now: WallTime) async throws
    -> Redemption
  /// Whether an invite has admitted this node.
  func wasAdmitted(_ node: KeyHash) async throws -> Bool
  /// Keeps an invite until it is used or expires.
  func addInvite(secretHash: [UInt8], expiry: WallTime) async throws

  /// The record under a PeerID. One that has expired may have lost its content.
  nonisolated(nonsending) func record(of peer: PeerID) async throws -> StoredRecord?
  /// Stores a record if what stands under its PeerID still is `known`. A new one counts against `network`,
  /// if there is one, for as long as its row is kept.
  func put(
    _ record: StoredRecord, replacing known: StoredRecord?, from network: IPAddress?
  ) async throws -> Storing

  /// At most `limit` records of relays that hold at `now`, a random sample; of `region` first, where there
  /// are any.
  func relays(near region: Region?, limit: Int, now: WallTime) async throws -> [StoredRecord]

  /// Everything that is revoked and not yet forgotten.
  func revocations() async throws -> Revocations
  /// Revokes one token until it would expire anyway.
  func revoke(token: String, until expiry: WallTime) async throws
  /// Revokes all tokens of a peer that were issued before `time`, and forgets that an invite admitted it:
  /// both or neither.
  func revoke(tokensOf peer: KeyHash, before time: WallTime, until expiry: WallTime) async throws

  /// Forgets what has expired, a bounded number of rows a call: a record's content at once, its sequence only
  /// when no older record can be valid. Then throws unless a record could be written.
  func prune(now: WallTime) async throws
  /// Throws unless the store can be read, and has room for another login and another record within its
  /// bounds. Writes nothing: ``prune(now:)`` does.
  func check() async throws
  /// Rows by table, for metrics.
  func sizes() async throws -> [String: Int]
}
