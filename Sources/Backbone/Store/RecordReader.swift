import GRDBSQLite
import MeshCrypto
import MeshWire
import Synchronization

/// Reads single records through SQLite's own interface, on the calling thread.
///
/// Look-ups are most of what a backbone does. Through the pool of the general store each one took three times
/// as long as its query, for queues, locks and rows that one statement by primary key has no use for.
final class RecordReader: Sendable {
  /// For the columns in the order in which a ``StoredRecord`` is read from them.
  static let query = """
    SELECT \(columns) FROM records WHERE peer_id = ?
    """
  static let columns =
    "key_hash, sequence, expiry, tombstone, body_digest, public_bundle, private_part, relay_region"

  private let file: String
  /// Never more than the threads that look up at the same time.
  private let idle = Mutex<[Connection]>([])

  /// For a file that has its tables already.
  init(file: String) { self.file = file }

  /// The record under a PeerID, expired or not; throws ``StoreFailure``.
  func record(of peer: PeerID) throws -> StoredRecord? {
    let connection = try idle.withLock { $0.popLast() } ?? Connection(file: file)
    let record = try connection.record(of: peer)
    // One that failed isn't given back: the next caller opens the file anew.
    idle.withLock { $0.append(connection) }
    return record
  }
}

/// A connection with its one statement.
// why: used by one caller at a time, to whom the reader's mutex has handed it.
@safe private final class Connection: @unchecked Sendable {
  private let file: String
  private var database: OpaquePointer?
  private var statement: OpaquePointer?

  init(file: String) throws {
    self.file = file
    // Not read-only: the first reader of a write-ahead log has to make its index.
    let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX
    guard unsafe sqlite3_open_v2(file, &database, flags, nil) == SQLITE_OK,
      unsafe sqlite3_busy_timeout(database, 5_000) == SQLITE_OK,
      unsafe sqlite3_exec(database, "PRAGMA query_only = 1", nil, nil, nil) == SQLITE_OK,
      unsafe sqlite3_prepare_v3(
        database, RecordReader.query, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil) == SQLITE_OK
    else { throw failure }
  }

  deinit {
    unsafe sqlite3_finalize(statement)
    unsafe sqlite3_close_v2(database)
  }

  func record(of peer: PeerID) throws -> StoredRecord? {
    defer { unsafe sqlite3_reset(statement) }
    let key = peer.bytes
    // `nil` for the destructor: the bytes outlive the step, and the reset.
    return try unsafe key.withUnsafeBytes { bytes in
      guard unsafe sqlite3_bind_blob(statement, 1, bytes.baseAddress, Int32(bytes.count), nil) == SQLITE_OK
      else { throw failure }
      switch unsafe sqlite3_step(statement) {
      case SQLITE_ROW: return row
      case SQLITE_DONE: return nil
      default: throw failure
      }
    }
  }

  /// `nil` for a row that doesn't hold what it should: as good as absent.
  private var row: StoredRecord? {
    guard let keyHash = KeyHash(blob(0)) else { return nil }
    return unsafe StoredRecord(
      keyHash: keyHash,
      sequence: SequenceNumber(UInt64(bitPattern: sqlite3_column_int64(statement, 1))),
      expiry: WallTime(stored: sqlite3_column_int64(statement, 2)),
      isTombstone: sqlite3_column_int64(statement, 3) != 0, bodyDigest: blob(4), publicBundle: blob(5),
      privatePart: sqlite3_column_type(statement, 6) == SQLITE_NULL ? nil : blob(6),
      relayRegion: sqlite3_column_type(statement, 7) == SQLITE_NULL
        ? nil : Region(String(decoding: blob(7), as: UTF8.self)))
  }

  private func blob(_ column: Int32) -> [UInt8] {
    let count = unsafe Int(sqlite3_column_bytes(statement, column))
    guard count > 0, let start = unsafe sqlite3_column_blob(statement, column) else { return [] }
    return unsafe [UInt8](UnsafeRawBufferPointer(start: start, count: count))
  }

  private var failure: StoreFailure {
    SQLiteStore.failure(
      code: unsafe sqlite3_extended_errcode(database),
      message: unsafe String(cString: sqlite3_errmsg(database)),
      name: file)
  }
}
