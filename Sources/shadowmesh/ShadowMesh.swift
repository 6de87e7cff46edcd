import ArgumentParser
import ControlAPI
import LightNode

/// What a person types. Everything but `init`, `id`, `key` and `version` is asked of the daemon.
@main
struct ShadowMesh: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "shadowmesh",
    abstract: "Pair with other nodes of the mesh, reach them, and see how.",
    discussion: """
      The first minutes:
        shadowmesh init                    make this node's key (once)
        systemctl start shadowmesh-lightnode
        shadowmesh invite --name bob       prints a line for Bob's node
        shadowmesh join LINE --name alice  on Bob's node
        shadowmesh ping bob

      Exit codes:
        0  done
        1  failed for a reason not listed here
        3  the daemon is not running
        4  not permitted (socket, key file)
        5  not found: no such peer, record or key
        6  no answer in time
        7  refused: taken, expired, used up, or exists already
        8  a file is damaged, or open to others
        64 wrong usage

      NO_COLOR in the environment switches colour off, as does any output that is not a terminal.
      """,
    version: Release.version,
    subcommands: [
      InitCommand.self, IdentityCommand.self, StatusCommand.self, PeersCommand.self, InviteCommand.self,
      JoinCommand.self, PeerCommand.self, LookUpCommand.self, PingCommand.self, NetcheckCommand.self,
      KeyCommand.self, VersionCommand.self,
    ])
}

/// Options of every command.
struct OutputOptions: ParsableArguments {
  @Flag(help: "Print JSON, one object, errors too.")
  var json = false
}

/// Options of every command that asks the daemon.
struct DaemonOptions: ParsableArguments {
  @OptionGroup var output: OutputOptions

  @Option(
    help: ArgumentHelp(
      "The daemon's control socket. Default: control_socket of the configuration.", valueName: "path"),
    completion: .file())
  var socket: String?

  @OptionGroup var file: FileOptions

  var client: ControlClient {
    get throws {
      ControlClient(socketPath: try socket ?? file.controlSocket() ?? ControlClient.defaultSocketPath)
    }
  }
}
