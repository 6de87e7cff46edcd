public import ArgumentParser
public import ControlAPI
import Foundation

extension PeerName: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}

extension PortRule: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
  public static var defaultCompletionKind: CompletionKind {
    .list(["all", "ping", "tcp/22", "tcp/80", "tcp/443", "udp/53"])
  }
}

extension HopCount: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
  public static var allValueStrings: [String] { range.map { "\($0)" } }
}

/// A number of relays for one peer, or what the configuration says for all.
struct HopChoice: ExpressibleByArgument {
  let hops: HopCount?

  init?(argument: String) {
    hops = HopCount(argument)
    if hops == nil, argument != "default" { return nil }
  }

  static var allValueStrings: [String] { HopCount.allValueStrings + ["default"] }
}

/// What the other node may open here.
struct AllowOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "What the peer may open here: all, ping, tcp/PORT or udp/PORT. May be given several times.",
      valueName: "rule"))
  var allow: [PortRule] = []
}

func unexpectedAnswer() -> Complaint {
  Complaint("failed", "the daemon gave another answer than was asked for", code: 1)
}

/// `shadowmesh peers`.
struct PeersCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "peers", abstract: "List the peers that were added, their sessions and paths.")
  @OptionGroup var daemon: DaemonOptions

  func run() throws {
    try reporting(daemon.output) {
      var peers: [PeerReport] = []
      try daemon.client.send(.peers) { answer in
        guard case .peers(let page) = answer else { throw unexpectedAnswer() }
        peers += page
      }
      if daemon.output.json { return printJSON(["peers": peers]) }
      guard !peers.isEmpty else {
        print("No peers yet. next: shadowmesh invite, or shadowmesh peer add NAME PEERID")
        return
      }
      printTable(
        ["NAME", "ADDRESS", "SESSION", "PATH", "RELAYS", "IN", "OUT", "ALLOWED HERE"],
        peers.map { peer in
          [
            peer.name.text, peer.address, peer.session,
            peer.path.summary, peer.hops?.description ?? "-",
            bytes(peer.receivedBytes), bytes(peer.sentBytes),
            peer.allow.isEmpty ? "replies" : peer.allow.map(\.description).joined(separator: " "),
          ]
        })
      print()
      printFields(peers.map { ($0.name.text, $0.path.reason) }, style: Style())
    }
  }
}

/// `shadowmesh peer …`.
struct PeerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "peer", abstract: "Add, change or remove a peer, or begin anew with one.",
    subcommands: [
      PeerAddCommand.self, PeerHopsCommand.self, PeerRemoveCommand.self, PeerResetCommand.self,
    ])
}

/// `shadowmesh peer add`.
struct PeerAddCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "add", abstract: "Add a peer under a name, or change what it may open here.",
    discussion: """
      Adding permits traffic to the peer and its replies; what it may open here needs --allow. The other \
      node's owner has to add this node too. `shadowmesh invite` does both ways at once.
      """)
  @OptionGroup var daemon: DaemonOptions
  @Argument(help: "1 to 32 of a-z, 0-9 and -.") var name: PeerName
  @Argument(help: "40 hexadecimal digits, from `shadowmesh id` there.") var peerID: String
  @OptionGroup var rules: AllowOptions
  @Option(
    help: ArgumentHelp(
      "Relays on the way to it where it is reached through relays, 1 to 3. Default: as relay.hops says.",
      valueName: "count"))
  var hops: HopCount?

  func run() throws {
    try reporting(daemon.output) {
      let answer = try daemon.client.send(
        .addPeer(name: name, peerID: peerID, allow: rules.allow, hops: hops))
      guard case .peer(let peer) = answer else { throw unexpectedAnswer() }
      if daemon.output.json { return printJSON(peer) }
      print("\(peer.name) is at \(peer.address).")
      print("next: shadowmesh ping \(peer.name)")
    }
  }
}

/// `shadowmesh peer hops`.
struct PeerHopsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hops", abstract: "Choose how many relays are on the way to a peer.",
    discussion: """
      It counts where the peer is reached through relays, for the ways that this node builds. The other \
      node builds ways too, of as many relays as its owner chose, and the shorter one is used: to have a \
      longer one, both owners choose it.
      """)
  @OptionGroup var daemon: DaemonOptions
  @Argument(help: "The peer's name.") var name: PeerName
  @Argument(help: "1 to 3, or default: as relay.hops says for all.") var hops: HopChoice

  func run() throws {
    try reporting(daemon.output) {
      guard case .peer(let peer) = try daemon.client.send(.setHops(name: name, hops: hops.hops)) else {
        throw unexpectedAnswer()
      }
      if daemon.output.json { return printJSON(peer) }
      let relays = peer.hops.map { "\($0) \($0.value == 1 ? "relay" : "relays")" }
      print("On the way to \(peer.name), where it takes relays: \(relays ?? "as many as for all peers").")
    }
  }
}

/// `shadowmesh peer remove`.
struct PeerRemoveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "remove", abstract: "Remove a peer: its session ends, nothing goes to or from it.")
  @OptionGroup var daemon: DaemonOptions
  @Argument(help: "The peer's name.") var name: PeerName

  func run() throws {
    try reporting(daemon.output) {
      guard case .peer(let peer) = try daemon.client.send(.removePeer(name: name)) else {
        throw unexpectedAnswer()
      }
      if daemon.output.json { return printJSON(peer) }
      print("\(peer.name) (\(peer.peerID)) is removed.")
    }
  }
}

/// `shadowmesh peer reset`.
struct PeerResetCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reset",
    abstract: "End a peer's session, forget which paths it was reached on, and connect anew.")
  @OptionGroup var daemon: DaemonOptions
  @Argument(help: "The peer's name.") var name: PeerName

  func run() throws {
    try reporting(daemon.output) {
      guard case .peer(let peer) = try daemon.client.send(.resetPeer(name: name)) else {
        throw unexpectedAnswer()
      }
      if daemon.output.json { return printJSON(peer) }
      print("The session with \(peer.name) has ended, and a new one is being opened.")
      print("next: shadowmesh ping \(peer.name)")
    }
  }
}

/// `shadowmesh invite`.
struct InviteCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "invite", abstract: "Print a line that pairs another node with this one, both ways, once.",
    discussion:
      "Give the line to one person over a channel that you trust: whoever joins with it first is the peer.")
  @OptionGroup var daemon: DaemonOptions
  @Option(help: "What to call the node that joins. Default: peer- and the start of its PeerID.")
  var name: PeerName?
  @Option(help: ArgumentHelp("How long it holds: 30m, 24h, 7d.", valueName: "time"))
  var expires = "24h"
  @OptionGroup var rules: AllowOptions

  func validate() throws {
    guard Self.seconds(expires) != nil else {
      throw ValidationError("--expires is a number and m, h or d, from 1m to 30d; found \"\(expires)\"")
    }
  }

  func run() throws {
    try reporting(daemon.output) {
      let life = Self.seconds(expires) ?? 86_400
      let answer = try daemon.client.send(.invite(name: name, expires: life, allow: rules.allow))
      guard case .invite(let invite) = answer else { throw unexpectedAnswer() }
      if daemon.output.json { return printJSON(invite) }
      print(invite.line)
      writeToStandardError("Holds until \(clock(invite.expires)), for one node. There: shadowmesh join LINE")
    }
  }

  static func seconds(_ text: String) -> UInt64? {
    guard let unit = text.last,
      let scale = ["s": 1, "m": 60, "h": 3_600, "d": 86_400][String(unit)] as UInt64?,
      let count = UInt64(text.dropLast())
    else { return nil }
    let (seconds, overflow) = count.multipliedReportingOverflow(by: scale)
    return !overflow && (60...ControlRequest.maximumInviteLife).contains(seconds) ? seconds : nil
  }
}

/// `shadowmesh join`.
struct JoinCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "join", abstract: "Pair with the node that printed an invitation.")
  @OptionGroup var daemon: DaemonOptions
  @Argument(help: "The line of `shadowmesh invite`; - for standard input.") var line: String
  @Option(help: "What to call that node. Default: peer- and the start of its PeerID.")
  var name: PeerName?
  @OptionGroup var rules: AllowOptions

  func run() throws {
    try reporting(daemon.output) {
      let text =
        line == "-" ? String(decoding: try readInput("-", limit: 4_096), as: UTF8.self) : line
      let request = ControlRequest.join(
        line: text.filter { !$0.isWhitespace }, name: name, allow: rules.allow)
      guard case .join(let joined) = try daemon.client.send(request, timeout: 60) else {
        throw unexpectedAnswer()
      }
      if daemon.output.json { return printJSON(joined) }
      print("Paired with \(joined.name), which is at \(joined.address).")
      if !joined.confirmed {
        print("\(joined.name) accepted the invitation, and has not confirmed yet that it added this node.")
      }
      print("next: shadowmesh ping \(joined.name)")
    }
  }
}
