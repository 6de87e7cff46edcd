import Charts
import Foundation

/// What all runs came to, as a table for a person and as JSON for a machine.
struct Report: Encodable {
  let seed: UInt64
  var seconds: Int64 = 0
  private(set) var ok = true
  private(set) var figures: [Figure] = []
  private(set) var curves: [Curve] = []

  init(seed: UInt64) { self.seed = seed }

  mutating func add(_ result: Runner.Result) {
    figures += result.figures
    curves += result.curves
    ok = ok && result.figures.allSatisfy(\.isOK) && result.failures.isEmpty
  }

  static func show(_ result: Runner.Result, of run: RunName) {
    print("\(run.rawValue): \(run.summary)")
    let width = result.figures.map(\.name.count).max() ?? 0
    for figure in result.figures {
      let range =
        figure.range.map { " (\(Figure.text($0.lowerBound)) to \(Figure.text($0.upperBound)))" } ?? ""
      let value = "\(Figure.text(figure.value)) \(figure.unit)\(range)"
      let verdict = figure.isOK ? "ok  " : "FAIL"
      print("  \(verdict) \(pad(figure.name, width)) \(pad(value, 28)) \(figure.gateText)")
    }
    let told = result.failures + result.allowed
    for one in told.prefix(10) {
      print("       \(one.why)")
      print("       again: shadowmesh-sim replay \(one.run.rawValue) \(one.number)")
    }
    if told.count > 10 { print("       and \(told.count - 10) more") }
  }

  func showVerdict() {
    print("\(ok ? "every gate holds" : "a gate is missed"); first seed \(seed), \(seconds) s")
  }

  private static func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  func encoded() throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return try encoder.encode(self)
  }

  func write(to path: String) throws {
    let url = URL(fileURLWithPath: path)
    try FileManager.default.createDirectory(
      at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try (try encoded() + Data("\n".utf8)).write(to: url, options: .atomic)
  }
}
