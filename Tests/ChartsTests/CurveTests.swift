import Charts
import Foundation
import Testing

@Suite struct CurveTests {
  private let chart = Chart(
    "Hops", x: Chart.Axis("nodes", .logarithmic), y: Chart.Axis("hops", range: 0...8),
    series: [Chart.Series("honest", points: [Chart.Point(100, 2, band: 1...3), Chart.Point(1_000, 3)])],
    gate: Chart.Gate(6, "at most 6"))

  @Test func aCurveComesBackFromJSON() throws {
    let curve = Curve("hops-2", chart)
    #expect(try JSONDecoder().decode(Curve.self, from: JSONEncoder().encode(curve)) == curve)
  }

  @Test(arguments: ["", "../secrets", "a/b", "Hops", "a.b", "a b"])
  func aNameThatLeadsElsewhereIsRefused(_ name: String) throws {
    let text = String(decoding: try JSONEncoder().encode(Curve("hops", chart)), as: UTF8.self)
    let changed = text.replacing("\"name\":\"hops\"", with: "\"name\":\"\(name)\"")
    #expect(changed != text)
    #expect(throws: DecodingError.self) { try JSONDecoder().decode(Curve.self, from: Data(changed.utf8)) }
  }

  @Test func whatIsNotFiniteIsLeftOut() {
    let series = Chart.Series("a", pairs: [(x: 1, y: .infinity), (x: .nan, y: 1), (x: 1, y: 2)])
    #expect(series.points == [Chart.Point(1, 2)])
    let banded = Chart.Series("a", points: [Chart.Point(1, 2, band: 0...Double.infinity)])
    #expect(banded.points.isEmpty)
  }
}
