import MeshWire
import Testing

@testable import Simulation

@Suite struct EventQueueTests {
  @Test func theEarliestComesFirstAndEqualsInTheOrderOfInsertion() {
    var chance = Chance(seed: 3)
    for _ in 0..<50 {
      var queue = EventQueue<Int>()
      var expected: [(at: UInt64, number: Int)] = []
      for number in 0..<200 {
        let at = UInt64(chance.index(below: 40))
        queue.insert(number, at: Instant(nanoseconds: at))
        expected.append((at, number))
      }
      expected.sort { ($0.at, $0.number) < ($1.at, $1.number) }
      var got: [Int] = []
      while let next = queue.removeFirst() { got.append(next.event) }
      #expect(got == expected.map(\.number))
    }
  }
}
