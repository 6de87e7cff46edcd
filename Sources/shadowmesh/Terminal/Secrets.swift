import ArgumentParser
import Foundation
import Glibc

/// How a passphrase reaches the program: from a file, or typed without echo. Never as an argument, where
/// every user of the machine could read it.
struct PassphraseOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("A file whose first line is the passphrase; - for standard input.", valueName: "path"),
    completion: .file())
  var passphraseFile: String?

  /// The passphrase that was given, or one typed at the terminal after `prompt`.
  func read(prompt: String) throws -> [UInt8] {
    if let passphraseFile { return try Self.firstLine(of: passphraseFile) }
    guard isatty(0) == 1 else {
      throw Complaint(
        "key", "a passphrase is needed and there is no terminal to ask at", next: "--passphrase-file FILE",
        code: 4)
    }
    return try askAtTerminal(prompt)
  }

  private static func firstLine(of path: String) throws -> [UInt8] {
    let data = try readInput(path, limit: 4_096)
    let line = Array(data.prefix { $0 != 10 && $0 != 13 })
    guard !line.isEmpty else {
      throw Complaint("key", "\(path) has no passphrase on its first line", code: 64)
    }
    return line
  }
}

/// Reads a file, or standard input for `-`, of at most `limit` bytes.
func readInput(_ path: String, limit: Int) throws -> Data {
  let data: Data
  if path == "-" {
    data = try FileHandle.standardInput.read(upToCount: limit + 1) ?? Data()
  } else {
    guard let handle = FileHandle(forReadingAtPath: path) else {
      let code = errno
      throw Complaint(
        "input", "cannot read \(path): \(unsafe String(cString: strerror(code)))",
        code: code == ENOENT ? 5 : 4)
    }
    defer { try? handle.close() }
    data = try handle.read(upToCount: limit + 1) ?? Data()
  }
  guard data.count <= limit else { throw Complaint("input", "\(path) is over \(limit) bytes", code: 64) }
  return data
}

/// Asks at the terminal with echo switched off. A signal that ends the program switches it on again first.
func askAtTerminal(_ prompt: String) throws -> [UInt8] {
  var attributes = termios()
  guard unsafe tcgetattr(0, &attributes) == 0 else {
    throw Complaint("key", "the terminal cannot be asked", next: "--passphrase-file FILE", code: 4)
  }
  EndingSignals.begin()
  var silent = attributes
  silent.c_lflag &= ~tcflag_t(ECHO)
  _ = unsafe tcsetattr(0, TCSAFLUSH, &silent)
  FileHandle.standardError.write(Data("\(prompt): ".utf8))
  let line = EndingSignals.waitForInput() ? readLine() : nil
  _ = unsafe tcsetattr(0, TCSAFLUSH, &attributes)
  writeToStandardError("")
  EndingSignals.end()
  guard let line, !line.isEmpty else {
    throw Complaint("key", "no passphrase was given", code: 64)
  }
  return Array(line.utf8)
}
