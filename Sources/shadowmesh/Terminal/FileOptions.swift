import ArgumentParser
import Foundation
import LightNode
import StrictConfiguration

/// Where the configuration is, for the commands that need the state directory or the socket.
struct FileOptions: ParsableArguments {
  static let defaultPath = "/etc/shadowmesh/lightnode.yaml"

  @Option(
    help: ArgumentHelp(
      "The daemon's configuration file. Default: \(defaultPath), where there is one.", valueName: "path"),
    completion: .file(extensions: ["yaml", "yml"]))
  var config: String?

  /// The configuration, or the defaults when none was named and the default file is not there.
  func load() throws -> LightNodeConfiguration {
    if let config { return try LightNodeConfiguration.load(path: config) }
    let present = FileManager.default.fileExists(atPath: Self.defaultPath)
    return try LightNodeConfiguration.load(path: present ? Self.defaultPath : nil)
  }

  /// The socket that the file names. A file that was named has to hold; of the default one nothing is
  /// expected, because asking the daemon must work without rights to its file.
  func controlSocket() throws -> String? {
    config == nil ? (try? load())?.controlSocket : try load().controlSocket
  }
}
