extension SQLiteStore {
  /// Bounds on rows.
  public struct Bounds: Sendable {
    public var records = 1_000_000
    public var redeemed = 1_000_000
    public var invites = 100_000
    public var admitted = 1_000_000
    /// Pages of the file, or as many as it has if these are more; `nil` for as many as the disk holds.
    var pages: Int?

    public init() {}
  }
}
