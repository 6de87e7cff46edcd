import Dispatch
import Foundation
import Synchronization

/// One of the built programs, run to its end.
struct Program {
  let name: String

  static let shadowmesh = Program(name: "shadowmesh")
  static let lightnode = Program(name: "shadowmesh-lightnode")

  struct Ending: Sendable {
    var code: Int32
    var output: String
    var complaint: String

    /// The output as a JSON object.
    var json: [String: Any] {
      ((try? JSONSerialization.jsonObject(with: Data(output.utf8))) as? [String: Any]) ?? [:]
    }
  }

  /// The programs lie beside the test bundle.
  private static let folder = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
    .deletingLastPathComponent()

  /// Runs with these arguments and nothing on standard input.
  func run(_ arguments: [String]) async throws -> Ending {
    let process = Process()
    process.executableURL = Self.folder.appending(path: name)
    process.arguments = arguments
    let (output, complaint) = (Pipe(), Pipe())
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = complaint
    try process.run()
    async let said = Self.everything(from: output)
    async let complained = Self.everything(from: complaint)
    let texts = await (said, complained)
    process.waitUntilExit()
    return Ending(code: process.terminationStatus, output: texts.0, complaint: texts.1)
  }

  /// Reads on a thread of Dispatch's: a pipe that nobody empties would hold the program up.
  private static func everything(from pipe: Pipe) async -> String {
    await withCheckedContinuation { waiter in
      DispatchQueue.global().async {
        let bytes = (try? pipe.fileHandleForReading.readToEnd()) ?? nil
        waiter.resume(returning: String(decoding: bytes ?? Data(), as: UTF8.self))
      }
    }
  }
}

/// A folder of its own with a configuration; gone when the test is over.
final class Place: Sendable {
  let path: String
  var configuration: String { path + "/lightnode.yaml" }
  var state: String { path + "/state" }
  var key: String { state + "/identity.key" }

  /// `lines` stand behind the state directory and the socket.
  init(_ lines: String = "") throws {
    path = NSTemporaryDirectory() + "sm-cli-\(UUID().uuidString.prefix(13))"
    try FileManager.default.createDirectory(
      atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    let text = "state_directory: \(state)\ncontrol_socket: \(path)/control.sock\n\(lines)\n"
    try Data(text.utf8).write(to: URL(filePath: configuration))
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func write(_ text: String, to name: String, mode: Int = 0o600) throws -> String {
    let file = path + "/" + name
    try Data(text.utf8).write(to: URL(filePath: file))
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file)
    return file
  }

  func shadowmesh(_ arguments: String...) async throws -> Program.Ending {
    try await Program.shadowmesh.run(arguments + ["--config", configuration])
  }

  func lightnode(_ arguments: String...) async throws -> Program.Ending {
    try await Program.lightnode.run(arguments + ["--config", configuration])
  }
}
