import GRDB
import MeshCrypto
import MeshWire

/// A random sample of the relays among the records.
///
/// Each has a random place, drawn with each of its records. The sample is the run of places from a random one
/// on, round the end: one descent of an index and as many rows as are wanted, however many relays there are.
struct RelaySample {
  let region: Region?
  let limit: Int
  let now: WallTime
  var start = Self.randomPlace()

  static func randomPlace() -> Int64 { Int64.random(in: 0 ... .max) }

  /// Relays of the region, then of anywhere until there are enough.
  func draw(from db: Database) throws -> [StoredRecord] {
    var sample: [StoredRecord] = []
    var seen: Set<KeyHash> = []
    for region in region.map({ [$0, nil] }) ?? [nil] {
      // Those of the region may come again among those of anywhere.
      let wanted = limit + (region == nil ? sample.count : 0)
      for isBeforeStart in [false, true] where sample.count < limit {
        for record in try run(of: region, isBeforeStart: isBeforeStart, upTo: wanted, db)
        where sample.count < limit && seen.insert(record.keyHash).inserted { sample.append(record) }
      }
    }
    return sample
  }

  /// For the region's name, if there is one, the place, the time and the limit.
  static func query(of region: Region?, isBeforeStart: Bool) -> String {
    """
    SELECT \(RecordReader.columns) FROM records
    WHERE \(region == nil ? "" : "relay_region = ? AND ")relay_place \(isBeforeStart ? "<" : ">=") ?
      AND expiry > ?
    ORDER BY relay_place LIMIT ?
    """
  }

  private func run(
    of region: Region?, isBeforeStart: Bool, upTo count: Int, _ db: Database
  ) throws -> [StoredRecord] {
    let select = try db.cachedStatement(sql: Self.query(of: region, isBeforeStart: isBeforeStart))
    let place: StatementArguments = [start, now.stored, count]
    let arguments: StatementArguments = region.map { [$0.name] + place } ?? place
    return try Row.fetchAll(select, arguments: arguments).compactMap(StoredRecord.init(row:))
  }
}
