import Foundation
import GRDB
public import MeshCrypto
public import MeshWire
import Synchronization

/// The embedded store: one SQLite file in WAL mode, or memory.
///
/// In WAL mode with `synchronous = NORMAL` a crash of the program loses nothing, and a power cut loses at
/// most the last moments: a node publishes again within the hour, and a challenge lives for a minute.
public final class SQLiteStore: Sendable {
  /// A record is kept beyond its expiry for as long as an older one could still be valid, so that no older
  /// record comes back after it.
  static let afterlife = Duration.seconds(7_800)
  /// Transactions of one pruning at most.
  static let pruningRounds = 20
  /// Expired records are looked at again for so long, for clocks that were set and writes that took time.
  static let emptyingOverlap = Duration.seconds(60)
  /// A redemption is remembered for so long beyond its challenge's expiry: a login whose time was judged
  /// right before it may still wait for its signature check, and would redeem once more what is forgotten.
  static let redemptionGrace = Duration.seconds(60)
  /// What has to fit in for the store to count as one that can be written: a record with its private part.
  static let probeSize = 12_000

  private let database: any DatabaseWriter
  /// `nil` when the store is in memory.
  private let reader: RecordReader?
  /// The file, for messages.
  private let name: String
  private let bounds: Bounds
  /// Rows as of the last pruning and the inserts since; an upper bound that costs no query.
  private let counts: Mutex<[String: Int]>
  /// Records that expired up to here have lost their content.
  private let emptied = Mutex(WallTime(secondsSinceEpoch: 0))

  /// Opens or makes the file; throws ``StoreFailure``, also for a file that isn't an intact database.
  public convenience init(file: String, bounds: Bounds = Bounds()) throws {
    // SQLite gives the files beside it the database's own mode, so it has to be right from the first moment.
    let descriptor = unsafe open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    if descriptor >= 0 { close(descriptor) }
    var configuration = GRDB.Configuration()
    configuration.maximumReaderCount = 4
    configuration.busyMode = .timeout(5)
    configuration.prepareDatabase { db in
      try db.execute(sql: "PRAGMA synchronous = NORMAL")
      if let pages = bounds.pages { try db.execute(sql: "PRAGMA max_page_count = \(pages)") }
    }
    try self.init(name: file, bounds: bounds, reader: RecordReader(file: file)) {
      try DatabasePool(path: file, configuration: configuration)
    }
    _ = try? FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file)
  }

  /// A store that is gone with the process.
  public convenience init(inMemory bounds: Bounds) throws {
    try self.init(name: "memory", bounds: bounds, reader: nil) { try DatabaseQueue() }
  }

  private init(name: String, bounds: Bounds, reader: RecordReader?, open: () throws -> any DatabaseWriter)
    throws
  {
    self.name = name
    self.bounds = bounds
    self.reader = reader
    do {
      let database = try open()
      try SQLiteSchema.migrator.migrate(database)
      let report = try database.read { try String.fetchOne($0, sql: "PRAGMA quick_check(1)") }
      guard report == "ok" else { throw StoreFailure.damaged(name) }
      self.database = database
      counts = Mutex(try database.read { try Self.count($0) })
    } catch {
      throw Self.failure(error, name: name)
    }
  }

  private static let tables = [
    "redeemed", "invites", "admitted", "records", "revoked_tokens", "revoked_peers",
  ]

  private static func count(_ db: Database) throws -> [String: Int] {
    var counts: [String: Int] = [:]
    for table in tables { counts[table] = try Int.fetchOne(db, sql: "SELECT count(*) FROM \(table)") }
    return counts
  }

  private func read<Value: Sendable>(_ body: @Sendable (Database) throws -> Value) async throws -> Value {
    do { return try await database.read(body) } catch { throw Self.failure(error, name: name) }
  }

  /// One statement on the calling thread, in a transaction of its own.
  private func writeAlone<Value>(_ body: (Database) throws -> Value) throws -> Value {
    do { return try database.writeWithoutTransaction(body) } catch {
      throw Self.failure(error, name: name)
    }
  }

  /// Writes on the calling thread, which has to be one that may wait for the disk.
  private func writeHere<Value>(_ body: (Database) throws -> Value) throws -> Value {
    do { return try database.write(body) } catch { throw Self.failure(error, name: name) }
  }

  private func write<Value: Sendable>(_ body: @Sendable (Database) throws -> Value) async throws -> Value {
    do { return try await database.write(body) } catch { throw Self.failure(error, name: name) }
  }

  /// Refuses an insert into a table at its bound.
  private func checkRoom(in table: String, bound: Int) throws {
    guard counts.withLock({ $0[table, default: 0] }) < bound else {
      throw StoreFailure.full(table: table, bound: bound)
    }
  }

  private func countInsert(_ table: String) { counts.withLock { $0[table, default: 0] += 1 } }

  static func failure(_ error: any Error, name: String) -> any Error {
    if error is StoreFailure || error is CancellationError { return error }
    guard let error = error as? DatabaseError else {
      return StoreFailure.unavailable("\(name): \(error)")
    }
    return failure(code: error.resultCode.rawValue, message: error.message, name: name)
  }

  /// A result code of SQLite's, as what it means for the operator.
  static func failure(code: CInt, message: String?, name: String) -> StoreFailure {
    switch ResultCode(rawValue: code).primaryResultCode {
    case .SQLITE_FULL: .diskFull(name)
    case .SQLITE_CORRUPT, .SQLITE_NOTADB: .damaged(name)
    case .SQLITE_CANTOPEN, .SQLITE_PERM, .SQLITE_READONLY:
      .unavailable("\(name) cannot be opened for writing: check its directory and owner")
    default: .unavailable("\(name): \(message ?? "SQLite error \(code)")")
    }
  }
}

extension SQLiteStore: Store {
  public func redeem(
    challenge: [UInt8], expiry: WallTime, invite: InviteUse?, now: WallTime
  ) async throws -> Redemption {
    try checkRoom(in: "redeemed", bound: bounds.redeemed)
    if invite != nil { try checkRoom(in: "admitted", bound: bounds.admitted) }
    let result: Redemption =
      if let invite {
        try writeOrUndo { db in
          guard try Self.redeem(challenge, expiry, db) else { return .challengeUsed }
          return try Self.use(invite, now, db) ? .redeemed : .inviteRefused
        }
      } else {
        // One statement is a transaction by itself, and costs a third of one that is opened and closed.
        try writeAlone { try Self.redeem(challenge, expiry, $0) }
          ? .redeemed : .challengeUsed
      }
    if result == .redeemed {
      countInsert("redeemed")
      if invite != nil { countInsert("admitted") }
    }
    return result
  }

  private static func redeem(_ challenge: [UInt8], _ expiry: WallTime, _ db: Database) throws -> Bool {
    let insert = try db.cachedStatement(
      sql: "INSERT INTO redeemed (expiry, challenge) VALUES (?, ?) ON CONFLICT DO NOTHING")
    try insert.execute(arguments: [expiry.stored, Data(challenge)])
    return db.changesCount == 1
  }

  private static func use(_ invite: InviteUse, _ now: WallTime, _ db: Database) throws -> Bool {
    try db.execute(
      sql: "UPDATE invites SET used_by = ? WHERE secret_hash = ? AND used_by IS NULL AND expiry > ?",
      arguments: [Data(invite.node.bytes), Data(invite.secretHash), now.stored])
    guard db.changesCount == 1 else { return false }
    try db.execute(
      sql: "INSERT INTO admitted (key_hash) VALUES (?) ON CONFLICT DO NOTHING",
      arguments: [Data(invite.node.bytes)])
    return true
  }

  /// One transaction that is undone unless it redeemed.
  private func writeOrUndo(_ body: (Database) throws -> Redemption) throws -> Redemption {
    do {
      return try database.writeWithoutTransaction { db in
        var result = Redemption.challengeUsed
        try db.inTransaction(.immediate) {
          result = try body(db)
          return result == .redeemed ? .commit : .rollback
        }
        return result
      }
    } catch { throw Self.failure(error, name: name) }
  }

  public func wasAdmitted(_ node: KeyHash) async throws -> Bool {
    try await read { db in
      try Bool.fetchOne(
        db, sql: "SELECT EXISTS (SELECT 1 FROM admitted WHERE key_hash = ?)", arguments: [Data(node.bytes)])
        ?? false
    }
  }

  public func addInvite(secretHash: [UInt8], expiry: WallTime) async throws {
    try checkRoom(in: "invites", bound: bounds.invites)
    try await write { db in
      try db.execute(
        sql: "INSERT INTO invites (secret_hash, expiry) VALUES (?, ?)",
        arguments: [Data(secretHash), expiry.stored])
    }
    countInsert("invites")
  }

  public nonisolated(nonsending) func record(of peer: PeerID) async throws -> StoredRecord? {
    if let reader { return try reader.record(of: peer) }
    return try await read { db in
      let select = try db.cachedStatement(sql: RecordReader.query)
      return try Row.fetchOne(select, arguments: [Data(peer.bytes)]).flatMap(StoredRecord.init(row:))
    }
  }

  public func put(
    _ record: StoredRecord, replacing known: StoredRecord?, from network: IPAddress? = nil
  ) async throws -> Storing {
    if known == nil { try checkRoom(in: "records", bound: bounds.records) }
    let result = try writeHere { db in
      let arguments: StatementArguments = [
        Data(record.keyHash.peerID.bytes), Data(record.keyHash.bytes),
        Int64(bitPattern: record.sequence.value), record.expiry.stored, record.isTombstone,
        Data(record.bodyDigest), Data(record.publicBundle), record.privatePart.map { Data($0) },
        record.relayRegion?.name, record.relayRegion.map { _ in RelaySample.randomPlace() },
      ]
      guard let known else {
        if let network, try isFull(network, db) { return Storing.networkFull }
        try db.execute(
          sql: """
            INSERT INTO records (\(Self.contentColumns), network) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT DO NOTHING
            """,
          arguments: arguments + [network.map { Data($0.bytes) }])
        return db.changesCount == 1 ? .stored : .changed
      }
      try db.execute(
        sql: """
          UPDATE records SET (\(Self.contentColumns)) = (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
          WHERE peer_id = ? AND key_hash = ? AND sequence = ?
          """,
        arguments: arguments + [
          Data(known.keyHash.peerID.bytes), Data(known.keyHash.bytes),
          Int64(bitPattern: known.sequence.value),
        ])
      return db.changesCount == 1 ? .stored : .changed
    }
    if result == .stored, known == nil { countInsert("records") }
    return result
  }

  /// What a record brings, in the order in which ``put(_:replacing:from:)`` gives it.
  private static let contentColumns = """
    peer_id, key_hash, sequence, expiry, tombstone, body_digest, public_bundle, private_part, relay_region,
    relay_place
    """

  public func relays(near region: Region?, limit: Int, now: WallTime) async throws -> [StoredRecord] {
    try await read { try RelaySample(region: region, limit: limit, now: now).draw(from: $0) }
  }

  private func isFull(_ network: IPAddress, _ db: Database) throws -> Bool {
    let count = try db.cachedStatement(
      sql: "SELECT count(*) FROM (SELECT 1 FROM records WHERE network = ? LIMIT ?)")
    let bound = bounds.recordsOfOneNetwork
    return try Int.fetchOne(count, arguments: [Data(network.bytes), bound]) == bound
  }

  public func revocations() async throws -> Revocations {
    try await read { db in
      var revocations = Revocations()
      let limit = Revocations.maximumCount
      let tokens = try String.fetchAll(
        db, sql: "SELECT token FROM revoked_tokens LIMIT ?", arguments: [limit])
      revocations.tokens = Set(tokens)
      let rows = try Row.fetchAll(
        db, sql: "SELECT key_hash, before FROM revoked_peers LIMIT ?", arguments: [limit])
      for row in rows {
        guard let peer = KeyHash(row["key_hash"] as Data) else { continue }
        revocations.peers[peer] = WallTime(stored: row["before"])
      }
      return revocations
    }
  }

  public func revoke(token: String, until expiry: WallTime) async throws {
    try checkRoom(in: "revoked_tokens", bound: Revocations.maximumCount)
    try await write { db in
      try db.execute(
        sql: "INSERT INTO revoked_tokens (token, expiry) VALUES (?, ?) ON CONFLICT DO NOTHING",
        arguments: [token, expiry.stored])
    }
    countInsert("revoked_tokens")
  }

  public func revoke(tokensOf peer: KeyHash, before time: WallTime, until expiry: WallTime) async throws {
    try checkRoom(in: "revoked_peers", bound: Revocations.maximumCount)
    try await write { db in
      try db.execute(
        sql: """
          INSERT INTO revoked_peers (key_hash, before, expiry) VALUES (?, ?, ?)
          ON CONFLICT DO UPDATE SET before = excluded.before, expiry = excluded.expiry
          """,
        arguments: [Data(peer.bytes), time.stored, expiry.stored])
      try db.execute(sql: "DELETE FROM admitted WHERE key_hash = ?", arguments: [Data(peer.bytes)])
    }
    countInsert("revoked_peers")
  }

  public func prune(now: WallTime) async throws {
    for _ in 0..<Self.pruningRounds {
      guard try await write({ try Self.deleteExpired(now, bounds.pruningBatch, $0) }) else { break }
    }
    for _ in 0..<Self.pruningRounds {
      guard try await emptyExpired(now) else { break }
    }
    // An insert between the count and its assignment is missed until the next time; the bounds are no closer.
    let fresh = try await read { try Self.count($0) }
    counts.withLock { $0 = fresh }
    // Apart from the deletions, which make room and must stand whatever comes of this.
    try await write { db in
      try db.execute(sql: "INSERT INTO probe (room) VALUES (zeroblob(?))", arguments: [Self.probeSize])
      try db.execute(sql: "DELETE FROM probe")
    }
  }

  /// Whether there may be more.
  private static func deleteExpired(_ now: WallTime, _ batch: Int, _ db: Database) throws -> Bool {
    let old = now + .seconds(-afterlife.components.seconds)
    let redeemedBefore = now + .seconds(-redemptionGrace.components.seconds)
    var isFull = false
    for (table, time) in [
      ("redeemed", redeemedBefore), ("invites", now), ("records", old), ("revoked_tokens", now),
      ("revoked_peers", now),
    ] {
      let key = try db.primaryKey(table).columns.joined(separator: ", ")
      try db.execute(
        sql:
          "DELETE FROM \(table) WHERE (\(key)) IN (SELECT \(key) FROM \(table) WHERE expiry <= ? LIMIT ?)",
        arguments: [time.stored, batch])
      if db.changesCount == batch { isFull = true }
    }
    return isFull
  }

  /// Takes from expired records what their afterlife doesn't need, nearly all of it; whether there may be
  /// more.
  private func emptyExpired(_ now: WallTime) async throws -> Bool {
    let start = emptied.withLock { $0 + .seconds(-Self.emptyingOverlap.components.seconds) }
    let count = try await write { db in
      try db.execute(
        sql: """
          UPDATE records SET public_bundle = zeroblob(0), private_part = NULL, relay_place = NULL
          WHERE rowid IN (
            SELECT rowid FROM records WHERE expiry > ? AND expiry <= ? AND length(public_bundle) > 0 LIMIT ?)
          """,
        arguments: [start.stored, now.stored, bounds.pruningBatch])
      return db.changesCount
    }
    guard count < bounds.pruningBatch else { return true }
    emptied.withLock { $0 = now }
    return false
  }

  public func check() async throws {
    try checkRoom(in: "redeemed", bound: bounds.redeemed)
    try checkRoom(in: "records", bound: bounds.records)
    _ = try await read { try Int.fetchOne($0, sql: "SELECT count(*) FROM sqlite_schema") }
  }

  public func sizes() async throws -> [String: Int] { counts.withLock { $0 } }
}

extension StoredRecord {
  /// `nil` for a row that doesn't hold what it should: as good as absent.
  init?(row: Row) {
    guard let keyHash = KeyHash(row[0] as Data) else { return nil }
    self.init(
      keyHash: keyHash, sequence: SequenceNumber(UInt64(bitPattern: row[1])),
      expiry: WallTime(stored: row[2]),
      isTombstone: row[3], bodyDigest: [UInt8](row[4] as Data), publicBundle: [UInt8](row[5] as Data),
      privatePart: (row[6] as Data?).map { [UInt8]($0) },
      relayRegion: (row[7] as String?).flatMap { Region($0) })
  }
}

extension WallTime {
  /// Times beyond 292 billion years are cut.
  var stored: Int64 { Int64(clamping: secondsSinceEpoch) }

  init(stored: Int64) { self.init(secondsSinceEpoch: UInt64(clamping: stored)) }
}
