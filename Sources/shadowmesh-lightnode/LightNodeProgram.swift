import ArgumentParser
import ControlAPI
import Foundation
import Glibc
import LightNode
import Logging
import StrictConfiguration

/// The light node's daemon.
@main
struct LightNodeProgram: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "shadowmesh-lightnode",
    abstract: "Run a light node: keys, sessions and a TUN device for the overlay.",
    discussion: """
      Flags override the file. SIGHUP reads it again, SIGTERM stops. Exit codes: 0 stopped as asked, \
      1 could not start or ended early, 64 wrong usage, 78 the configuration was refused.
      """,
    version: Release.version)

  static let defaultConfiguration = "/etc/shadowmesh/lightnode.yaml"

  @Option(
    help: ArgumentHelp(
      "The configuration. Default: \(defaultConfiguration), where there is one.", valueName: "path"),
    completion: .file(extensions: ["yaml", "yml"]))
  var config: String?

  @Flag(help: "Only say whether the configuration holds.")
  var checkConfig = false

  @OptionGroup(title: "Overrides") var overrides: Overrides

  func run() async throws {
    let path =
      config
      ?? (FileManager.default.fileExists(atPath: Self.defaultConfiguration) ? Self.defaultConfiguration : nil)
    let flags = overrides.flags
    let configuration: LightNodeConfiguration
    do {
      configuration = try LightNodeConfiguration.load(path: path, flags: flags)
    } catch {
      Self.complain("\(error)")
      throw ExitCode(78)
    }
    if checkConfig {
      for remark in configuration.remarks { Self.complain("note: \(remark)") }
      print("\(path ?? "the defaults"): the configuration holds")
      return
    }
    // Files and the socket belong to this user alone until something opens them on purpose.
    umask(0o077)
    AdjustableLogHandler.setLevel(configuration.logLevel)
    LoggingSystem.bootstrap { AdjustableLogHandler(label: $0) }
    let daemon = LightNodeDaemon(
      configuration: configuration, registry: LightNodeDaemon.bootstrapMetrics(),
      logger: Logger(label: "shadowmesh.lightnode")
    ) { try LightNodeConfiguration.load(path: path, flags: flags) }
    do {
      try await daemon.run()
    } catch let failure as LightNodeDaemon.StartFailure {
      Self.complain(failure.description)
      if !failure.next.isEmpty { Self.complain("next: \(failure.next)") }
      throw ExitCode(1)
    } catch {
      Self.complain("ended early: \(error)")
      throw ExitCode(1)
    }
  }

  private static func complain(_ line: String) {
    FileHandle.standardError.write(Data("shadowmesh-lightnode: \(line)\n".utf8))
  }
}
