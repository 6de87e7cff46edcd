import Charts
import Testing

@Suite struct DrawingTests {
  private func chart(_ points: [Chart.Point], _ scale: Chart.Scale = .linear, title: String = "t") -> Chart {
    Chart(title, x: .init("x", scale), y: .init("y"), series: [.init("one", points: points)])
  }

  private func marks(_ chart: Chart) -> Int { chart.svg().split(separator: "class=\"mark ").count - 1 }

  @Test func aChartIsAlwaysDrawnTheSame() {
    let one = chart([.init(0, 1, band: 0...2), .init(1, 3, band: 2...4)])
    #expect(one.svg() == one.svg())
    #expect(one.svg().contains("prefers-color-scheme:dark"))
  }

  @Test func wordsAreNeverMarkup() {
    let svg = chart([], title: "<script>&\"'\u{0}").svg()
    #expect(!svg.contains("<script"))
    #expect(svg.contains("&lt;script&gt;&amp;&quot;&#39; "))
    #expect(!svg.unicodeScalars.contains("\u{0}"))
  }

  @Test func noPointsSaySo() { #expect(chart([]).svg().contains(">no data<")) }

  @Test func aSinglePointIsMarked() {
    // One in the plot, one in the legend.
    #expect(marks(chart([.init(5, 5)])) == 2)
    #expect(marks(chart([.init(5, 5)], .logarithmic)) == 2)
    #expect(!chart([.init(0, 0)]).svg().contains("nan"))
  }

  @Test func aLogarithmicAxisLeavesOutZeroAndBelowAndSaysSo() {
    let svg = chart([.init(0, 1), .init(-2, 1), .init(10, 1)], .logarithmic)
    #expect(marks(svg) == 2)
    #expect(svg.svg().contains("2 points left out"))
  }
}
