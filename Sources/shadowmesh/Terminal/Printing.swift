import ControlAPI
import Foundation
import Glibc

/// Colour, where it is wanted: on a terminal, unless NO_COLOR is set (no-color.org) or the terminal is dumb.
struct Style {
  let isColoured: Bool

  init(descriptor: Int32 = 1) {
    let environment = ProcessInfo.processInfo.environment
    isColoured =
      isatty(descriptor) == 1 && environment["NO_COLOR", default: ""].isEmpty && environment["TERM"] != "dumb"
  }

  func red(_ text: String) -> String { wrap(text, "31") }
  func green(_ text: String) -> String { wrap(text, "32") }
  func yellow(_ text: String) -> String { wrap(text, "33") }
  func bold(_ text: String) -> String { wrap(text, "1") }
  func faint(_ text: String) -> String { wrap(text, "2") }

  private func wrap(_ text: String, _ code: String) -> String {
    isColoured ? "\u{1b}[\(code)m\(text)\u{1b}[0m" : text
  }
}

/// Prints one JSON object: snake_case keys, sorted.
func printJSON(_ value: some Encodable) {
  guard let data = try? ControlLine.encoder(pretty: true).encode(value) else { return }
  print(String(decoding: data, as: UTF8.self))
}

/// Prints one JSON object on one line, for commands that print several.
func printJSONLine(_ value: some Encodable) {
  guard let data = try? ControlLine.encoder(pretty: false).encode(value) else { return }
  print(String(decoding: data, as: UTF8.self))
}

func writeToStandardError(_ line: String) {
  FileHandle.standardError.write(Data((line + "\n").utf8))
}

/// `label  value` lines, the values in one column.
func printFields(_ fields: [(String, String)], style: Style = Style()) {
  let width = fields.map(\.0.count).max() ?? 0
  for (label, value) in fields {
    print("\(style.faint(label.padding(toLength: width, withPad: " ", startingAt: 0)))  \(value)")
  }
}

/// Columns as wide as their longest cell, two spaces apart.
func printTable(_ header: [String], _ rows: [[String]], style: Style = Style()) {
  let widths = header.indices.map { column in
    ([header] + rows).map { $0[column].count }.max() ?? 0
  }
  func line(_ cells: [String]) -> String {
    var text = ""
    for (cell, width) in zip(cells, widths) {
      text += cell.padding(toLength: width + 2, withPad: " ", startingAt: 0)
    }
    while text.last == " " { text.removeLast() }
    return text
  }
  print(style.bold(line(header)))
  for row in rows { print(line(row)) }
}

func milliseconds(_ value: Double) -> String { String(format: value < 10 ? "%.2f ms" : "%.1f ms", value) }

func bytes(_ count: UInt64) -> String {
  let units = ["B", "KiB", "MiB", "GiB", "TiB"]
  var value = Double(count)
  var unit = 0
  while value >= 1_024, unit < units.count - 1 {
    value /= 1_024
    unit += 1
  }
  return unit == 0 ? "\(count) B" : String(format: "%.1f %@", value, units[unit])
}

func clock(_ secondsSinceEpoch: UInt64) -> String {
  let formatter = ISO8601DateFormatter()
  return formatter.string(from: Date(timeIntervalSince1970: Double(secondsSinceEpoch)))
}

func span(_ seconds: UInt64) -> String {
  switch seconds {
  case ..<60: "\(seconds) s"
  case ..<3_600: "\(seconds / 60) min"
  case ..<86_400: "\(seconds / 3_600) h \(seconds % 3_600 / 60) min"
  default: "\(seconds / 86_400) d \(seconds % 86_400 / 3_600) h"
  }
}
