import MeshWire
import RepeatableRandom
import Testing

@Suite struct TimeTests {
  @Test func instantsSaturateAtBothEnds() {
    let late = Instant(nanoseconds: .max - 5)
    let early = Instant(nanoseconds: 5)
    #expect(late + .seconds(1) == Instant(nanoseconds: .max))
    #expect(early + .seconds(-1) == Instant(nanoseconds: 0))
    #expect(late + .seconds(Int64.max) == Instant(nanoseconds: .max))
    #expect(early + .seconds(Int64.min) == Instant(nanoseconds: 0))
    #expect(Instant(nanoseconds: .max) - Instant(nanoseconds: 0) == .nanoseconds(Int64.max))
    #expect(Instant(nanoseconds: 0) - Instant(nanoseconds: .max) == .nanoseconds(-Int64.max))
  }

  @Test func differencesAndSumsAgree() {
    var random = SplitMix64(seed: 1)
    for _ in 0..<500 {
      let a = Instant(nanoseconds: random.next() >> 2)
      let b = Instant(nanoseconds: random.next() >> 2)
      #expect(b + (a - b) == a)
      #expect((a < b) == (a - b < .zero))
    }
  }

  @Test func wallTimeSaturatesAtBothEnds() {
    let late = WallTime(secondsSinceEpoch: .max - 5)
    #expect(late + .seconds(6) == WallTime(secondsSinceEpoch: .max))
    #expect(WallTime(secondsSinceEpoch: 5) + .seconds(-6) == WallTime(secondsSinceEpoch: 0))
    #expect(WallTime(secondsSinceEpoch: 5) + .seconds(Int64.min) == WallTime(secondsSinceEpoch: 0))
    #expect(late - WallTime(secondsSinceEpoch: 0) == .seconds(Int64.max))
    #expect(WallTime(secondsSinceEpoch: 0) - late == .seconds(-Int64.max))
    #expect(WallTime(secondsSinceEpoch: 9) - WallTime(secondsSinceEpoch: 12) == .seconds(-3))
  }

  @Test func wholeNanosecondsSaturate() {
    #expect(Duration.seconds(2).wholeNanoseconds == 2_000_000_000)
    #expect(Duration.milliseconds(-1_500).wholeNanoseconds == -1_500_000_000)
    #expect(Duration.seconds(Int64.max).wholeNanoseconds == .max)
    #expect(Duration.seconds(Int64.min).wholeNanoseconds == .min)
    #expect((Duration.nanoseconds(Int64.max) + .nanoseconds(1)).wholeNanoseconds == .max)
    #expect((Duration.nanoseconds(Int64.min) - .nanoseconds(1)).wholeNanoseconds == .min)
  }
}
