/// How much of a run is played: all of it, or a slice that fits into a test.
struct Scale {
  /// One part of so many.
  let part: Int

  static let whole = Scale(part: 1)
  static let slice = Scale(part: 200)

  func of(_ count: Int) -> Int { max(1, count / part) }
}
