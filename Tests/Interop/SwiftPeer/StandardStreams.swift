import Glibc

/// Lines in and lines out. Nothing is buffered on the way out: a test waits for each line.
struct StandardStreams {
  private var pending: [UInt8] = []
  private(set) var isClosed = false

  /// Reads what waits on standard input and returns the lines that it completes.
  mutating func readLines() -> [String] {
    var chunk = [UInt8](repeating: 0, count: 65_536)
    let count = read(STDIN_FILENO, &chunk, chunk.count)
    guard count > 0 else {
      isClosed = true
      return []
    }
    pending += chunk[..<count]
    var lines: [String] = []
    while let end = pending.firstIndex(of: UInt8(ascii: "\n")) {
      lines.append(String(decoding: pending[..<end], as: UTF8.self))
      pending.removeSubrange(...end)
    }
    return lines
  }

  static func print(_ words: String...) {
    var bytes = Array(words.joined(separator: " ").utf8)
    bytes.append(UInt8(ascii: "\n"))
    var written = 0
    while written < bytes.count {
      let count = bytes[written...].withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress, $0.count) }
      if count <= 0 { exit(1) }
      written += count
    }
  }
}
