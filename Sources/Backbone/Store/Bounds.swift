extension SQLiteStore {
  /// Bounds on rows.
  public struct Bounds: Sendable {
    public var records = 1_000_000
    /// Of one network, where they are counted by it; `nil` for a hundredth of all, but enough for a town.
    var recordsOfNetwork: Int?
    public var redeemed = 1_000_000
    public var invites = 100_000
    public var admitted = 1_000_000
    /// Rows that one transaction of a pruning touches in a table, so that writers don't wait long.
    var pruningBatch = 10_000
    /// Pages of the file, or as many as it has if these are more; `nil` for as many as the disk holds.
    var pages: Int?

    public init() {}

    var recordsOfOneNetwork: Int { recordsOfNetwork ?? max(1_000, records / 100) }
  }
}
