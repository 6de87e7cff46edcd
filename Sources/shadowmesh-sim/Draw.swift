import ArgumentParser
import Charts
import Foundation

/// Makes a picture of each curve.
struct Draw: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Draw the curves of a run's results, one SVG file each.")

  @Argument(help: "The results of a run.")
  var results = "results/sim.json"

  @Option(name: .customLong("to"), help: "The folder that the pictures go to.")
  var folder = "docs/pictures"

  /// What of the results is drawn.
  private struct Curves: Decodable {
    var curves: [Curve]?
  }

  func run() throws {
    guard let data = FileManager.default.contents(atPath: results) else {
      throw ValidationError("\(results) can't be read; `scripts/sim run` makes it")
    }
    let curves: [Curve]
    do {
      curves = try JSONDecoder().decode(Curves.self, from: data).curves ?? []
    } catch {
      throw ValidationError("\(results) holds no results of this version; `scripts/sim run` makes them anew")
    }
    guard !curves.isEmpty else {
      throw ValidationError("\(results) holds no curves; `scripts/sim run` plays the runs that have some")
    }
    let to = URL(fileURLWithPath: folder)
    try FileManager.default.createDirectory(at: to, withIntermediateDirectories: true)
    for curve in curves {
      let file = to.appendingPathComponent("\(curve.name).svg")
      try Data(curve.chart.svg().utf8).write(to: file, options: .atomic)
      print("\(folder)/\(curve.name).svg")
    }
  }
}
