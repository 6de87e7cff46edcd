import Testing

@testable import Charts

@Suite struct TicksTests {
  private static let ranges: [ClosedRange<Double>] = [
    0...1, 0...0.3, 3...4, -7...12, 0...99.9, 1e-9...2e-9, 1e15...(1e15 + 3), 0.1...0.7, 1...10,
    2...20_000, 1e-5...1e9, 999...1_001, 1e-300...1e300,
  ]

  @Test(arguments: ranges, [1, 2, 5, 7, 10])
  func ticksAreFewAscendingAndWithin(_ range: ClosedRange<Double>, most: Int) {
    for ticks in [Ticks.linear(in: range, atMost: most), Ticks.logarithmic(in: range, atMost: most)] {
      #expect(ticks.count <= most)
      #expect(ticks.allSatisfy(range.contains))
      #expect(zip(ticks, ticks.dropFirst()).allSatisfy { $0 < $1 })
    }
  }

  @Test func theyAreRoundNumbers() {
    #expect(Ticks.linear(in: 0...0.3, atMost: 4) == [0, 0.1, 0.2, 0.3])
    #expect(Ticks.linear(in: 0...97, atMost: 6) == [0, 20, 40, 60, 80])
    #expect(Ticks.logarithmic(in: 1...10_000, atMost: 8) == [1, 10, 100, 1_000, 10_000])
    #expect(Ticks.logarithmic(in: 200...2_000, atMost: 8) == [200, 500, 1_000, 2_000])
  }

  @Test func anEmptyRangeHasNone() {
    #expect(Ticks.linear(in: 3...3, atMost: 5).isEmpty)
    #expect(Ticks.logarithmic(in: 0...10, atMost: 5).isEmpty)
  }
}
