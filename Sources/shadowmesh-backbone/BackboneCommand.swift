import ArgumentParser

/// The program: `shadowmesh-backbone --config FILE`, and its subcommands.
@main
struct BackboneCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "shadowmesh-backbone",
    abstract: "Login and registry for ShadowMesh nodes.",
    discussion: """
      Without a subcommand it serves what --config says. `dev` needs no file.
      Exit codes: 0 stopped as asked, 1 failed, 64 wrong usage or configuration.
      """,
    version: programVersion,
    subcommands: [
      ServeCommand.self, DevCommand.self, InviteCommand.self, RevokeCommand.self, RotateKeyCommand.self,
      VersionCommand.self,
    ],
    defaultSubcommand: ServeCommand.self)
}

/// What `version` and `--version` print.
let programVersion = "shadowmesh-backbone 0.1.0"

/// Prints the version.
struct VersionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "version", abstract: "Print the version.")

  func run() { print(programVersion) }
}
