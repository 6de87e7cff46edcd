/// Colours that people who confuse some can tell apart, on light and on dark, and marks for where they can't.
enum Palette {
  private static let light = ["#0072b2", "#c44e00", "#00805f", "#a03b78", "#8a6400", "#505050"]
  private static let dark = ["#56b4e9", "#f5925a", "#3ccfa0", "#e08fc0", "#e6c23c", "#c0c0c0"]

  /// How the series of a number looks: colours and marks come round after six and five of them.
  struct Look {
    let number: Int

    var color: String { "c\(number % Palette.light.count)" }

    func mark(_ x: Double, _ y: Double) -> String {
      let at = "M\(Text.place(x)) \(Text.place(y))"
      let shape =
        switch number % 5 {
        case 0: "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z"
        case 1: "m-3.5 -3.5h7v7h-7z"
        case 2: "m0 -4.5l4.5 8h-9z"
        case 3: "m0 -5l5 5l-5 5l-5 -5z"
        default: "m-4 -1.2h2.8v-2.8h2.4v2.8h2.8v2.4h-2.8v2.8h-2.4v-2.8h-2.8z"
        }
      return "<path class=\"mark \(color)\" d=\"\(at)\(shape)\"/>"
    }
  }

  /// The style sheet, for light and for dark.
  static var style: String {
    """
    <style>
    text{font-family:system-ui,-apple-system,"Segoe UI",sans-serif}
    .title{font-weight:600}.middle{text-anchor:middle}.end{text-anchor:end}
    .line,.gate,.grid,.axis{fill:none}.line{stroke-width:2;stroke-linejoin:round}
    .dashed{stroke-dasharray:7 4}.grid{stroke-width:.6}.gate{stroke-width:1.5;stroke-dasharray:2 3}
    .band{fill-opacity:.18;stroke:none}.mark{stroke:none}
    \(sheet(card: "#ffffff", ink: "#24292f", grid: "#d0d7de", light))
    @media (prefers-color-scheme:dark){
    \(sheet(card: "#0d1117", ink: "#e6edf3", grid: "#30363d", dark))
    }
    </style>
    """
  }

  private static func sheet(card: String, ink: String, grid: String, _ colors: [String]) -> String {
    let series = colors.enumerated().map { number, color in
      ".line.c\(number){stroke:\(color)}.mark.c\(number),.band.c\(number){fill:\(color)}"
    }
    return ".card{fill:\(card)}text{fill:\(ink)}.grid{stroke:\(grid)}.axis,.gate{stroke:\(ink)}\n"
      + series.joined(separator: "\n")
  }
}
